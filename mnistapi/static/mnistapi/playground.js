// Draws on the paper, and sends what is on it, or the chosen file, to the API.

const PEN = 22; // pixels of the paper's 280: about as wide, for its size, as what MNIST was written with

const form = document.querySelector("#playground");
const paper = document.querySelector("#paper");
const file = document.querySelector("#file");
const outcome = document.querySelector("#outcome");
const pen = paper.getContext("2d");
const labels = JSON.parse(document.querySelector("#labels").textContent);

function clearPaper() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, paper.width, paper.height);
  file.value = "";
  outcome.replaceChildren();
}

function begin(event) {
  paper.setPointerCapture(event.pointerId);
  file.value = "";
  pen.lineWidth = PEN;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...placeOf(event));
  draw(event);
}

function draw(event) {
  if (!paper.hasPointerCapture(event.pointerId)) return;
  pen.lineTo(...placeOf(event));
  pen.stroke();
}

function placeOf(event) {
  const box = paper.getBoundingClientRect();
  const scale = paper.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

async function ask(event) {
  event.preventDefault();
  const key = document.querySelector("#key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    outcome.replaceChildren(element("p", "This is no key: a whole one is shown once, when it is made.", "warning"));
    return;
  }
  const button = document.querySelector("#ask");
  button.disabled = true;
  try {
    const response = await fetch(form.dataset.api, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}` },
      body: await asked(),
    });
    const body = await response.json();
    outcome.replaceChildren(...(response.ok ? answer(body) : problem(body)));
  } catch {
    outcome.replaceChildren(element("p", "The API could not be reached.", "warning"));
  } finally {
    button.disabled = false;
  }
}

async function asked() {
  const body = new FormData();
  const drawing = await new Promise((resolve) => paper.toBlob(resolve, "image/png"));
  body.append("image", file.files[0] ?? drawing);
  const release = document.querySelector("#release").value;
  if (release) body.append("release", release);
  return body;
}

function answer(body) {
  const [prediction] = body.predictions;
  const found = prediction[form.dataset.field];
  const reason = (prediction.reason ?? "").replaceAll("_", " ");
  const usage = body.usage;
  const cost = usage.livemode ? `${usage.cost} ${usage.currency.toUpperCase()}` : "not billed";
  return [
    element("p", found === null ? `None: ${reason}` : `${found}`, "found"),
    bars(prediction.probabilities),
    element("p", `${body.release} · ${cost}`, "soft"),
    raw(body),
  ];
}

function bars(probabilities) {
  const list = element("ol", "", "bars");
  probabilities.forEach((probability, place) => {
    const bar = document.createElement("progress");
    bar.value = probability;
    const item = document.createElement("li");
    const share = `${(100 * probability).toFixed(1)} %`;
    item.append(element("span", labels[place]), bar, element("span", share));
    list.append(item);
  });
  return list;
}

function problem(body) {
  return [element("p", `${body.title}. ${body.detail}`, "warning"), raw(body)];
}

function raw(body) {
  const details = document.createElement("details");
  const text = document.createElement("pre");
  text.tabIndex = 0;
  text.textContent = JSON.stringify(body, null, 2);
  details.append(element("summary", "The answer as it came"), text);
  return details;
}

function element(kind, text, name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = name;
  return made;
}

clearPaper();
paper.addEventListener("pointerdown", begin);
paper.addEventListener("pointermove", draw);
document.querySelector("#clear").addEventListener("click", clearPaper);
form.addEventListener("submit", ask);
form.hidden = false;
