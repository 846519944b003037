"""A person at a browser, before the product as it runs."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Locator,
    Page,
    Request,
    sync_playwright,
)

from tests.pages import CODE, KEY
from tests.serving import Server

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PASSWORD = "correct horse battery"


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """While it is open, Django takes the thread for an asynchronous one: ask the ORM nothing."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@dataclass
class Person:
    """Somebody with a browser of his own and a long address that nobody else has."""

    page: Page
    server: Server
    email: str = field(default_factory=lambda: f"{secrets.token_hex(20)}@example.com")
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self.note_complaint)
        self.page.on("pageerror", self.note_error)
        self.page.on("request", self.note_request)

    def note_complaint(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def note_error(self, error: Error) -> None:
        self.complaints.append(f"{self.page.url}: {error}")

    def note_request(self, request: Request) -> None:
        if urlsplit(request.url).scheme != "data":
            self.requests.append(request.url)

    def open(self, path: str) -> None:
        self.page.goto(self.server.url + path, wait_until="networkidle")

    def fill(self, **values: str) -> None:
        """Fill in the fields of these names, and send the form of the page."""
        for name, value in values.items():
            self.page.locator(f"main [name={name}]").fill(value)
        self.page.locator("main form button").first.click()

    def code(self) -> str:
        """The code in the newest e-mail to this person."""
        mails = sorted(self.server.mail.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        mine = [mail.read_text() for mail in mails if f"To: {self.email}" in mail.read_text()]
        code = CODE.search(mine[-1])
        assert code, mine[-1]
        return code[1]

    def sign_up(self) -> str:
        """Sign up, confirm the address, and see the first key."""
        self.open("/accounts/signup/")
        self.fill(email=self.email, password1=PASSWORD)
        self.fill(code=self.code())
        return self.key()

    def key(self) -> str:
        """The key that the page shows."""
        key = self.page.locator("#key").inner_text()
        assert KEY.fullmatch(key)
        return key

    def copy(self, box: Locator) -> str:
        """What is on the clipboard after a click on the button of the box of code."""
        box.get_by_role("button", name="Copy").click()
        box.get_by_role("button", name="Copied").wait_for()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def copy_snippet(self, language: str) -> str:
        self.page.get_by_role("tab", name=language).click()
        return self.copy(self.page.get_by_role("tabpanel", name=language))

    def row(self, name: str) -> Locator:
        """The part of the table of keys for the first key of that name."""
        return self.page.locator("tbody").filter(has_text=name).first
