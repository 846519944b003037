"""A customer with a browser: what he clicks, what he calls, what he is told."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from tests.browsing import Person
from tests.installation import eventually
from tests.mixed_calls import Request
from tests.serving import Answer

SUBJECT = re.compile(r"^Subject: (.*)$", re.MULTILINE)


@dataclass
class Customer(Person):
    """`seen` is the file that has every page once the browser is closed, `answers` what his calls
    brought, `codes` those of his e-mails, `keys` by the address of the page that showed each.
    """

    seen: Path = Path()
    answers: list[Answer] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def live_key(self) -> str:
        return list(self.keys.values())[-1]

    def code(self) -> str:
        self.codes.append(super().code())
        return self.codes[-1]

    def key(self) -> str:
        self.keys[self.page.url] = super().key()
        return self.keys[self.page.url]

    def create_live_key(self) -> None:
        self.open("/dashboard/keys/")
        self.page.get_by_text("Create a key", exact=True).click()
        self.page.get_by_label("Name").fill("shop")
        self.page.get_by_label("Kind").select_option("live")
        self.click("Create the key")
        self.key()

    def open(self, path: str) -> None:
        self.page.goto(self.server.url + path)

    def click(self, name: str) -> None:
        """The button, of ours or on a page of Stripe's, that leads on."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name).click()

    def follow(self, name: str) -> None:
        """The first link of that name."""
        with self.page.expect_navigation():
            self.page.get_by_role("link", name=name).first.click()

    def text(self, path: str = "/dashboard/billing/") -> str:
        """What a page says, with single blanks."""
        self.open(path)
        return " ".join(self.page.locator("main").inner_text().split())

    def invoice(self) -> str:
        """What the billing page says of the newest: nothing, while there is none."""
        self.open("/dashboard/billing/")
        row = self.page.locator("#invoices + table tbody tr")
        return " ".join(" ".join(row.all_inner_texts()).split())

    def download(self, path: str) -> str:
        answer = self.page.context.request.get(self.server.url + path)
        assert answer.ok
        return answer.text()

    def add_card(self, card: str) -> None:
        """By this button of Stripe's page; the webhook that Stripe delivers changes the plan."""
        assert "You are on the plan Free" in self.text()
        self.click("Add a card")
        self.click(card)
        assert self.page.url == f"{self.server.url}/dashboard/billing/?card=added"
        assert not self.page.get_by_role("button", name="Add a card").count()
        eventually(lambda: "You are on the plan Pay as you go" in self.text())

    def see_a_card_declined(self) -> None:
        """At once, on Stripe's page, from where he comes back without one."""
        self.open("/dashboard/billing/")
        self.click("Add a card")
        self.click("Card declined")
        assert "Your card was declined." in self.page.inner_text("body")
        self.follow("Back, without a card")
        assert self.page.url == f"{self.server.url}/dashboard/billing/"

    def call(self, requests: Iterable[Request]) -> None:
        """Send them one by one with his live key; each must be answered as it says."""
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=40)
        authorization = f"Bearer {self.live_key}"
        for body, problem, path, content_type in requests:
            headers = {"Authorization": authorization, "Content-Type": content_type}
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
            assert (answer.status == 200) == (not problem), answer.raw
            assert not problem or answer.body["code"] == problem
            self.answers.append(answer)
        connection.close()

    def ask(self, path: str) -> Answer:
        """GET of the API, with his live key."""
        answer = self.server.get(path, {"Authorization": f"Bearer {self.live_key}"})
        self.answers.append(answer)
        return answer

    def mails(self) -> dict[str, str]:
        """All that he was sent, by subject."""
        texts = [file.read_text() for file in self.server.mail.iterdir()]
        mine = [text for text in texts if f"To: {self.email}" in text]
        return {match[1]: text for text in mine if (match := SUBJECT.search(text))}

    def pages(self) -> Iterator[tuple[str, str]]:
        """Whatever his browser got, with its address: heads and bodies."""
        for entry in json.loads(self.seen.read_text())["log"]["entries"]:
            yield entry["request"]["url"], json.dumps(entry["response"], ensure_ascii=False)
