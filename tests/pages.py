"""What a page consists of, as far as the tests ask."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

KEY = re.compile(r"mnist_(?:live|test)_[0-9A-Za-z]{36}")
CODE = re.compile(r"^ {4}([A-Z0-9]+-?[A-Z0-9]+)$", re.MULTILINE)
UNLABELLED = {"hidden", "submit"}


@dataclass
class Page(HTMLParser):
    """The elements of a page's HTML: `Page(html)` reads it."""

    html: str
    addresses: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labelled: set[str] = field(default_factory=set)
    fields: list[str] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.addresses += [given[name] for name in ("src", "href", "action") if name in given]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label":
            self.labelled.add(given.get("for", ""))
        if tag in ("select", "input", "textarea") and given.get("type") not in UNLABELLED:
            self.fields.append(given.get("id", "a field without id"))
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        data = given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in given and not data):
            self.inline.append(tag)

    @property
    def elsewhere(self) -> list[str]:
        """The addresses that leave this server."""
        return [
            address
            for address in self.addresses
            if urlsplit(address).scheme != "mailto" and urlsplit(address)[:2] != ("", "")
        ]
