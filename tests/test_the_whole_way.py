"""From signing up to an invoice that is paid and proved: the business as it runs, for a month.

Over HTTP and in a browser. The clock of product, database and Stripe is moved on
(`tests.installation`), to the last evening of next month and from there on. One customer's card is
good. The other's is declined when his invoice is paid; he sends two images a call, as Stripe
carries less than $0.50 over to the next invoice and charges no card for it.
"""

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from io import StringIO
from typing import NamedTuple

import pytest
from django.contrib import admin
from playwright.sync_api import Browser

from accounts.keys import PREFIX_LENGTH
from sandbox.stripe.cards import TEST_CARDS
from tests.browsing import PASSWORD, open_chromium
from tests.customer import Customer
from tests.forgeries import altered_invoice, forged_call, lost_hour
from tests.installation import OPERATOR, Installation, eventually, first_of_month, open_installation
from tests.mixed_calls import ANSWERED, CALLS, FAILING, OF_TWO_IMAGES, mixed
from tests.secrecy import leaks
from tests.serving import together

END = first_of_month(first_of_month(datetime.now(UTC)))
EVENING = END - timedelta(hours=4)
HOUR = timedelta(hours=1)
MONTH = EVENING.strftime("%Y-%m")
GRACE = timedelta(days=7)
FIRST_HOUR, SECOND_HOUR = slice(0, 800), slice(800, CALLS)
UNITS = CALLS - FAILING  # of who sends one image a call
COST, BILLED = Decimal("0.234"), "$0.23"  # 468 units beyond the first 1,000, $0.0005 each
OWED = "$0.97"  # twice as many units, 1,936 beyond the first 1,000
GOOD, BAD = "Pay with the test card", "Pay with a card that is declined when charged"
CONNECTIONS = 4
OF_PEOPLE = {
    "the password": PASSWORD,
    **{
        f"the fingerprint of {card}": f"fingerprint{known.last4}"
        for card, known in TEST_CARDS.items()
    },
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with open_installation(tmp_path_factory.mktemp("installation"), EVENING) as installation:
        yield installation


class Month(NamedTuple):
    """A month that is over, where, and for whom."""

    installation: Installation
    payer: Customer
    debtor: Customer


@pytest.fixture(scope="module")
def month(installation: Installation, chromium: Browser) -> Month:
    """Both sign up, add a card and call; the month ends, and Stripe collects."""
    payer, debtor = (arrived(installation, chromium, name) for name in ("payer", "debtor"))
    payer.add_card(GOOD)
    debtor.see_a_card_declined()
    debtor.add_card(BAD)
    installation.start_worker()
    call(installation, FIRST_HOUR, payer, debtor)
    installation.go_on_at(EVENING + HOUR)
    call(installation, SECOND_HOUR, payer, debtor)
    see_the_cost_so_far(payer)
    installation.go_on_at(END + timedelta(minutes=1))
    eventually(lambda: " paid " in payer.invoice())
    eventually(lambda: " payment failed " in debtor.invoice())
    return Month(installation, payer, debtor)


def arrived(installation: Installation, chromium: Browser, name: str) -> Customer:
    """Somebody who has signed up and made a live key."""
    seen = installation.server.folder / f"{name}.har"
    context = chromium.new_context(record_har_path=seen, record_har_content="embed")
    customer = Customer(context.new_page(), installation.server, seen=seen)
    customer.sign_up()
    customer.create_live_key()
    return customer


def call(installation: Installation, part: slice, payer: Customer, debtor: Customer) -> None:
    """Both at once, on several connections each."""
    calls = ((payer, mixed(ANSWERED)[part]), (debtor, mixed(OF_TWO_IMAGES)[part]))
    together(
        [
            partial(one.call, requests[number::CONNECTIONS])
            for one, requests in calls
            for number in range(CONNECTIONS)
        ]
    )


def see_the_cost_so_far(payer: Customer) -> None:
    text = payer.text()
    assert f"{EVENING:%B %Y}, with live keys Units {UNITS:,}" in text
    assert "Free allowance 0 of 1,000 left" in text
    assert f"Cost so far ${COST}" in text


def test_a_month_of_calls_becomes_an_invoice_that_is_paid_and_proved(month: Month) -> None:
    installation, payer, _ = month
    usage = payer.ask(f"/v1/usage?from={MONTH}-01&to={END:%Y-%m-%d}").body
    assert (usage["calls"], usage["errors"], usage["units"]) == (CALLS, FAILING, UNITS)
    assert payer.invoice().startswith(f"{EVENING:%B %Y} ")
    assert f" {BILLED} paid " in payer.invoice()
    rows = list(csv.DictReader(StringIO(payer.download(f"/dashboard/billing/calls/{MONTH}.csv"))))
    assert (len(rows), sum(row["status"] != "200" for row in rows)) == (CALLS, FAILING)
    assert sum(int(row["units"]) for row in rows) == UNITS
    assert sum(Decimal(row["cost in USD"]) for row in rows) == COST
    assert_proved(installation)


def assert_proved(installation: Installation) -> None:
    proved = installation.manage("prove")
    assert (proved.returncode, proved.stderr) == (0, "")


def test_a_card_that_is_declined_closes_the_account_until_the_invoice_is_paid(
    month: Month,
) -> None:
    installation, _, debtor = month
    ends = f"{END + GRACE:%-d %B %Y}"
    assert f" {OWED} payment failed " in debtor.invoice()
    for path in ("/dashboard/", "/dashboard/usage/", "/dashboard/billing/"):
        assert f"A payment failed. Calls are answered until {ends}" in debtor.text(path)
    eventually(lambda: "The payment of your invoice failed" in debtor.mails())
    mail = debtor.mails()["The payment of your invoice failed"]
    assert f"your invoice for {EVENING:%B %Y}, {OWED}, failed" in mail
    assert f"Your calls are answered until {ends}" in mail
    debtor.call(ANSWERED)

    installation.go_on_at(END + GRACE + HOUR)
    eventually(lambda: "Calls are refused: an invoice is not paid." in debtor.text("/dashboard/"))
    refused = [request._replace(problem="payment_failed") for request in ANSWERED]
    debtor.call(refused)
    eventually(lambda: "Your calls are refused until your invoice is paid" in debtor.mails())
    installation.let_stripe_count(END + GRACE + 2 * HOUR)
    assert_proved(installation)

    debtor.follow("Pay it")
    debtor.follow("Pay invoice")
    debtor.click(BAD)
    assert "Your card was declined." in debtor.page.inner_text("body")
    debtor.call(refused)
    debtor.click(GOOD)
    assert f"Total {OWED}, paid." in debtor.page.inner_text("body")
    eventually(lambda: debtor.ask("/v1/account").body["status"] == "active")
    debtor.call(ANSWERED)
    assert f" {OWED} paid " in debtor.invoice()
    assert "payment failed" not in debtor.text("/dashboard/")
    assert_proved(installation)


def test_the_card_is_changed_in_the_portal(month: Month) -> None:
    debtor = month.debtor
    debtor.open("/dashboard/billing/")
    debtor.click("Card, address, tax id, cancelling")
    assert "Your card ends in 0341." in debtor.page.inner_text("body")
    debtor.click("Change to the test card")
    assert "Your card ends in 4242." in debtor.page.inner_text("body")
    debtor.follow("Back")
    assert debtor.page.url == f"{debtor.server.url}/dashboard/billing/"


def test_what_does_not_agree_is_named_and_an_operator_is_told(month: Month) -> None:
    installation, payer, _ = month
    first, second = (
        sum(not request.problem for request in mixed(ANSWERED)[part])
        for part in (FIRST_HOUR, SECOND_HOUR)
    )
    email = payer.email
    with (
        forged_call(installation, email),
        altered_invoice(installation, email) as id,
        lost_hour(installation, email),
    ):
        proved = installation.manage("prove")
    assert proved.returncode == 1
    differences = [
        f"log / ledger: {UNITS + 1} / {UNITS} units; {named(EVENING)} {first + 1} / {first}",
        f"Stripe's meter / ledger: {first} / {UNITS} units; {named(EVENING + HOUR)} 0 / {second}",
        f"invoice {id}: $0.24, by our prices {BILLED}",
        f"invoice {id}: $0.24, on our pages {BILLED}",
    ]
    told = [f"{email}, {MONTH}: {difference}" for difference in differences]
    assert proved.stderr.removeprefix("CommandError: ").splitlines() == told
    mails = [text for text in installation.mails() if f"To: {OPERATOR}" in text]
    assert any(all(line in mail for line in told) for mail in mails)  # the worker proves as well
    assert_proved(installation)


def named(hour: datetime) -> str:
    return f"{hour:%Y-%m-%d %H}:00"


def test_every_webhook_was_delivered(month: Month) -> None:
    """What the worker finds by itself when one is not, is none of the events of this month."""
    events = month.installation.local.world.store.all("event")
    eventually(lambda: not any(event["pending_webhooks"] for event in events))
    log = [
        json.loads(line)
        for line in month.installation.server.log.read_text().splitlines()
        if "webhooks/stripe" in line
    ]
    assert {line["status"] for line in log} == {204}


def test_the_browsers_have_nothing_to_complain_of(month: Month) -> None:
    """Such as a form that the policy of its page does not let lead to Stripe."""
    for customer in (month.payer, month.debtor):
        ours = [
            text for text in customer.complaints if text.startswith(month.installation.server.url)
        ]
        assert ours == []


def test_no_secret_is_in_anything_that_was_written(month: Month) -> None:
    """Stands last, to have what the others wrote.

    A key is on the page that shows it once, a code in its e-mail, and both are nowhere else.
    """
    installation, *customers = month
    for customer in customers:
        customer.page.context.close()
    keys = {key: middle(key) for customer in customers for key in customer.keys.values()}
    codes = {code: code for customer in customers for code in customer.codes}
    codes |= {f"{code}, undashed": code.replace("-", "") for code in codes}
    secrets = {**installation.secrets, **OF_PEOPLE, **keys}
    answers = ("an answer", "\n".join(answer.text for one in customers for answer in one.answers))
    assert leaks(secrets | codes, [*installation.written(), answers]) == []
    assert leaks(secrets, [("e-mail", "\n".join(installation.mails()))]) == []
    shown = [f"{key} in {url}" for one in customers for url, key in one.keys.items()]
    pages = [page for customer in customers for page in customer.pages()]
    assert leaks(secrets | codes, pages) == shown
    operators = dict(installation.operators_pages())
    assert leaks(secrets | codes, operators.items()) == []
    models = [model._meta for model in admin.site._registry]
    lists = {f"/admin/{model.app_label}/{model.model_name}/" for model in models}
    assert lists <= set(operators)
    with_rows = {address.rsplit("/", 3)[0] + "/" for address in operators if "/change/" in address}
    assert lists - with_rows == {"/admin/auth/group/", "/admin/billing/metererror/"}


def middle(key: str) -> str:
    """What of it is known to nobody else: its first and last characters are kept, and shown."""
    return key[PREFIX_LENGTH:-4]
