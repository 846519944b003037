// What makes the pages handier. Without it they say and do the same.

function addCopyButton(pre) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.setAttribute("aria-live", "polite");
  button.addEventListener("click", () => copy(pre, button));
  const box = document.createElement("div");
  box.className = "copyable";
  pre.replaceWith(box);
  box.append(pre, button);
}

async function copy(pre, button) {
  try {
    await navigator.clipboard.writeText(pre.textContent.trim());
    button.textContent = "Copied";
  } catch {
    // No clipboard without HTTPS or permission: the text is selected, to be copied by hand.
    getSelection().selectAllChildren(pre);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}

function makeTabs(group) {
  const list = document.createElement("div");
  list.className = "tabs";
  list.setAttribute("role", "tablist");
  const panels = [...group.querySelectorAll("section")];
  const tabs = panels.map((panel) => makeTab(panel));
  tabs.forEach((tab, place) => {
    tab.addEventListener("click", () => select(tabs, panels, place));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (place + step + tabs.length) % tabs.length;
      select(tabs, panels, next);
      tabs[next].focus();
    });
  });
  list.append(...tabs);
  group.prepend(list);
  select(tabs, panels, 0);
}

function makeTab(panel) {
  const heading = panel.querySelector("h3");
  heading.hidden = true;
  const tab = document.createElement("button");
  tab.type = "button";
  tab.id = `${panel.id}-tab`;
  tab.textContent = heading.textContent;
  tab.setAttribute("role", "tab");
  tab.setAttribute("aria-controls", panel.id);
  panel.setAttribute("role", "tabpanel");
  panel.setAttribute("aria-labelledby", tab.id);
  return tab;
}

function select(tabs, panels, chosen) {
  tabs.forEach((tab, place) => {
    tab.setAttribute("aria-selected", place === chosen);
    tab.tabIndex = place === chosen ? 0 : -1;
    panels[place].hidden = place !== chosen;
  });
}

document.querySelectorAll("pre[data-copy]").forEach(addCopyButton);
document.querySelectorAll("[data-tabs]").forEach(makeTabs);
