"""Invoices as Stripe has them: on the billing page, and what follows when one is not paid."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from billing import decision, invoices, stripe_gateway
from billing.models import Account, Invoice, Notice
from tests.at_stripe import DECEMBER, Till, account_of, open_till, send_all
from tests.conftest import Holder
from tests.local_stripe import advance, control

FLAT = "[" + ",".join(["0"] * 784) + "]"
BAD_CARD = "pm_card_chargeCustomerFail"


@pytest.fixture
def till(settings: Any, db: None) -> Iterator[Till]:
    with open_till(settings) as till:
        yield till


@pytest.fixture
def browser(client: Client, owner: Holder) -> Client:
    client.force_login(owner.customer.user)
    return client


def month(till: Till, owner: Holder, card: str) -> Invoice:
    """The owner has entered this card, used 3,000 units, and November is over."""
    till.checkout(owner.customer, card)
    send_all(till.events())
    till.use(owner.customer, 3_000)
    till.end_month()
    send_all(till.events())
    return invoice_of(owner)


def invoice_of(owner: Holder) -> Invoice:
    return account_of(owner.customer).invoice_set.get()


def text_of(browser: Client, path: str = "/dashboard/billing/") -> str:
    return " ".join(browser.get(path).content.decode().split())


def charge_of(invoice: Invoice) -> str:
    charges = stripe_gateway.v1().charges.list({"payment_intent": invoice.payment_intent_id})
    return str(charges.data[0].id)


def pay(till: Till, owner: Holder) -> None:
    """With another card, on Stripe's page."""
    assert till.press(invoice_of(owner).hosted_url, do="pm_card_visa")[0] == 303
    send_all(till.events())


def grace_is_over(owner: Holder) -> None:
    long_ago = timezone.now() - timedelta(days=7, seconds=1)
    account_of(owner.customer).invoice_set.update(due_since=long_ago)
    Account.objects.filter(customer=owner.customer).update(payment_due_since=long_ago)


def test_a_paid_invoice_is_listed_with_its_page_and_pdf(
    till: Till, owner: Holder, browser: Client
) -> None:
    invoice = month(till, owner, "pm_card_visa")
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 100, 100)
    assert invoice.number.endswith("-0001")
    page = text_of(browser)
    for told in (invoice.number, "$1.00", "November 2026", invoice.hosted_url, invoice.pdf_url):
        assert told in page
    assert account_of(owner.customer).payment_due_since is None
    assert not Notice.objects.exists()


def test_a_draft_is_listed_before_it_is_final(till: Till, owner: Holder, browser: Client) -> None:
    till.checkout(owner.customer)
    send_all(till.events())
    till.use(owner.customer, 3_000)
    till.end_month(DECEMBER)
    send_all(till.events())
    assert invoice_of(owner).status == "draft"
    assert "in preparation" in text_of(browser)


def test_a_customer_sees_his_own_invoices(
    till: Till, owner: Holder, stranger: Holder, client: Client
) -> None:
    invoice = month(till, owner, "pm_card_visa")
    till.checkout(stranger.customer)
    client.force_login(stranger.customer.user)
    assert invoice.number not in text_of(client)


def test_a_failed_payment_is_told_by_mail_and_on_every_page(
    till: Till, owner: Holder, browser: Client
) -> None:
    invoice = month(till, owner, BAD_CARD)
    assert (invoice.status, invoice.is_due) == ("open", True)
    account = account_of(owner.customer)
    assert (account.status, account.payment_due_since is not None) == (decision.ACTIVE, True)
    assert "payment failed" in text_of(browser)
    for path in ("/dashboard/", "/dashboard/usage/", "/dashboard/billing/"):
        assert "A payment failed.</strong> Calls are answered until" in text_of(browser, path)
    call_command("bill")
    (message,) = mail.outbox
    assert message.subject == "The payment of your invoice failed"
    assert "invoice for November 2026, $1.00, failed" in message.body
    assert "/dashboard/billing/" in message.body


def test_further_attempts_are_not_told_again(till: Till, owner: Holder) -> None:
    month(till, owner, BAD_CARD)
    since = account_of(owner.customer).payment_due_since
    advance(till.local, 10 * 86_400)
    send_all(till.events())
    assert Notice.objects.get().kind == Notice.Kind.PAYMENT
    assert account_of(owner.customer).payment_due_since == since


def test_after_the_days_of_grace_calls_are_refused_until_it_is_paid(
    till: Till, owner: Holder, browser: Client, call: Callable[..., Any]
) -> None:
    month(till, owner, BAD_CARD)
    assert invoices.close_overdue() == 0
    assert call(FLAT).status_code == 200

    grace_is_over(owner)
    call_command("bill")
    refused = call(FLAT)
    assert (refused.status_code, refused.json()["code"]) == (402, "payment_failed")
    assert refused.json()["billed"] is False
    assert "Calls are refused: an invoice is not paid." in text_of(browser, "/dashboard/")
    assert [message.subject for message in mail.outbox] == [
        "The payment of your invoice failed",
        "Your calls are refused until your invoice is paid",
    ]

    pay(till, owner)
    assert call(FLAT).status_code == 200
    assert account_of(owner.customer).payment_due_since is None
    assert "Calls are refused" not in text_of(browser, "/dashboard/")
    call_command("bill")
    assert len(mail.outbox) == 2


def test_who_pays_outside_of_stripe_is_answered_again(till: Till, owner: Holder) -> None:
    invoice = month(till, owner, BAD_CARD)
    grace_is_over(owner)
    assert invoices.close_overdue() == 1
    stripe_gateway.v1().invoices.pay(invoice.pk, {"paid_out_of_band": True})
    send_all(till.events())
    assert invoice_of(owner).status == "paid"
    assert account_of(owner.customer).status == decision.ACTIVE


def test_who_has_paid_before_he_could_be_told_is_told_nothing(
    till: Till, owner: Holder, settings: Any
) -> None:
    settings.PAYMENT_GRACE_DAYS = 0
    month(till, owner, BAD_CARD)
    assert invoices.close_overdue() == 1
    assert Notice.objects.count() == 2
    pay(till, owner)
    call_command("bill")
    assert (mail.outbox, Notice.objects.count()) == ([], 0)


def test_the_days_of_grace_are_a_setting(till: Till, owner: Holder, settings: Any) -> None:
    month(till, owner, BAD_CARD)
    settings.PAYMENT_GRACE_DAYS = 0
    assert invoices.close_overdue() == 1
    assert invoices.close_overdue() == 0
    assert account_of(owner.customer).status == decision.PAYMENT_FAILED


def test_an_account_stays_closed_until_its_last_invoice_is_paid(till: Till, owner: Holder) -> None:
    month(till, owner, BAD_CARD)
    till.use(owner.customer, 5_000, "2026-12-01 01:00")
    till.end_month(DECEMBER + 31 * 86_400 + 3_700)
    send_all(till.events())
    account = account_of(owner.customer)
    second, first = account.invoice_set.all()
    grace_is_over(owner)
    assert invoices.close_overdue() == 1
    for invoice, status in ((first, decision.PAYMENT_FAILED), (second, decision.ACTIVE)):
        till.press(invoice.hosted_url, do="pm_card_visa")
        send_all(till.events())
        assert account_of(owner.customer).status == status


def test_an_operators_suspension_stays_whatever_is_paid(till: Till, owner: Holder) -> None:
    month(till, owner, BAD_CARD)
    account_of(owner.customer).change(status=decision.SUSPENDED)
    grace_is_over(owner)
    assert invoices.close_overdue() == 0
    pay(till, owner)
    assert account_of(owner.customer).status == decision.SUSPENDED


def test_who_pays_while_his_account_is_being_closed_is_not_closed(
    till: Till, owner: Holder
) -> None:
    month(till, owner, BAD_CARD)
    grace_is_over(owner)
    seen = account_of(owner.customer)
    pay(till, owner)
    assert not invoices.close(seen)
    assert account_of(owner.customer).status == decision.ACTIVE


@pytest.mark.parametrize(
    ("order", "status", "due"),
    [("void_invoice", "void", False), ("mark_uncollectible", "uncollectible", True)],
)
def test_what_the_operator_does_at_stripe_is_followed(
    till: Till, owner: Holder, browser: Client, order: str, status: str, due: bool
) -> None:
    invoice = month(till, owner, BAD_CARD)
    grace_is_over(owner)
    invoices.close_overdue()
    getattr(stripe_gateway.v1().invoices, order)(invoice.pk)
    send_all(till.events())
    assert invoice_of(owner).status == status
    account = account_of(owner.customer)
    assert (account.payment_due_since is not None) == due
    assert account.status == (decision.PAYMENT_FAILED if due else decision.ACTIVE)
    assert invoice_of(owner).standing in text_of(browser)


def test_a_refund_is_shown(till: Till, owner: Holder, browser: Client) -> None:
    invoice = month(till, owner, "pm_card_visa")
    stripe_gateway.v1().refunds.create({"charge": charge_of(invoice), "amount": 30})
    send_all(till.events())
    assert (invoice_of(owner).status, invoice_of(owner).refunded) == ("paid", 30)
    assert "paid, $0.30 refunded" in text_of(browser)


def test_a_credit_note_is_followed(till: Till, owner: Holder) -> None:
    invoice = month(till, owner, BAD_CARD)
    stripe_gateway.v1().credit_notes.create({"invoice": invoice.pk, "amount": 100})
    send_all(till.events())
    assert (invoice_of(owner).credited, invoice_of(owner).status) == (100, "paid")
    assert account_of(owner.customer).payment_due_since is None


def test_a_dispute_is_shown_and_how_it_ended(till: Till, owner: Holder, browser: Client) -> None:
    invoice = month(till, owner, "pm_card_visa")
    dispute = control(till.local, "POST", "disputes", {"charge": charge_of(invoice)})
    send_all(till.events())
    assert "paid, disputed (needs response)" in text_of(browser)
    control(till.local, "POST", f"disputes/{dispute['id']}/close", {"won": True})
    send_all(till.events())
    assert invoice_of(owner).dispute == "won"


def test_the_counters_of_the_account_are_left_alone(till: Till, owner: Holder) -> None:
    """A charge that was counted while an invoice was read must not be lost."""
    month(till, owner, BAD_CARD)
    reading = invoices.read(invoice_of(owner).pk)
    Account.objects.update(live_units=7, test_units=8)
    reading()
    account = account_of(owner.customer)
    assert (account.live_units, account.test_units) == (7, 8)
