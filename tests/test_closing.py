"""The end of a month: a draft is settled, compared and finalised, or an operator is told."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from smtplib import SMTPException
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.keys import Kind
from billing import closing, meter, stripe_gateway
from billing.closing import PATIENCE, close_drafts, hold
from billing.meter_models import Closing, MeterClaim, MeterPush
from billing.models import Account, UsageHour
from billing.plans import Tier
from billing.proof import Hours
from billing.stripe_gateway import Invoice, StripeRefused, StripeUnavailable
from tests.conftest import Holder
from tests.local_stripe import advance, client_of, sell_support
from tests.payers import END, EVENING, HOUR, PERIOD, START, Payer, Shop, open_shop, push_all

pytestmark = pytest.mark.django_db(transaction=True)
GOING = threading.Event()


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    settings.ADMINS = [("The operator", "operator@example.com")]
    with open_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    return shop.payer(holder("owner@example.com", Kind.LIVE))


def invoice_of(payer: Payer) -> Invoice:
    (invoice,) = invoices_of(payer)
    return invoice


def invoices_of(payer: Payer) -> list[Invoice]:
    return stripe_gateway.list_invoices(payer.id)


def close(shop: Shop) -> None:
    """One pass, and all that Stripe has been sent is counted."""
    MeterClaim.objects.update(until=timezone.now())
    close_drafts(GOING)
    shop.count()


def later() -> None:
    """The patience with Stripe is over."""
    past = timezone.now() - PATIENCE - timedelta(minutes=1)
    Closing.objects.update(opened_at=past)
    MeterPush.objects.update(pushed_at=past)


def lose_an_hour(shop: Shop) -> None:
    """Stripe forgets what it was sent of the evening."""
    with shop.local.world.lock:
        store = shop.local.world.store
        for row in store.all("usage"):
            if row["id"].endswith(f" {int(EVENING.timestamp())}"):
                store.delete("usage", row["id"])


def test_the_last_hours_are_on_the_invoice(shop: Shop, payer: Payer) -> None:
    payer.uses(1_200)
    push_all()
    payer.uses(300, END - HOUR)  # counted, and not pushed yet
    shop.end_the_month()
    close(shop)
    assert invoice_of(payer).status == "draft"  # what was pushed now is not counted yet
    close(shop)
    invoice = invoice_of(payer)
    assert (invoice.status, invoice.total) == ("paid", 25)
    assert Closing.objects.get().closed_at
    assert Closing.objects.get().period == PERIOD


def test_a_draft_is_held_from_the_first_pass_on(shop: Shop, payer: Payer) -> None:
    payer.uses(3_000)
    shop.end_the_month()
    shop.fail("rate_limit")
    assert invoice_of(payer).auto_advance
    close(shop)
    assert not invoice_of(payer).auto_advance
    shop.heal()
    advance(shop.local, 7_200)
    assert invoice_of(payer).status == "draft"
    for _ in range(2):
        close(shop)
    assert invoice_of(payer).total == 100
    shop.count()
    assert invoice_of(payer).status == "paid"


def test_a_month_without_usage_is_closed_too(shop: Shop, payer: Payer) -> None:
    shop.end_the_month()
    close(shop)
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 0)


def test_a_draft_that_another_process_has_found_meanwhile_stays_open(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_none(**status: str) -> list[Invoice]:
        Closing.objects.create(invoice_id="in_1", customer_id=payer.account.pk, period=PERIOD)
        return []

    monkeypatch.setattr(stripe_gateway, "list_invoices", list_none)
    close_drafts(GOING)
    assert Closing.objects.get().closed_at is None
    monkeypatch.setattr(stripe_gateway, "list_invoices", lambda **status: [])
    close_drafts(GOING)
    assert Closing.objects.get().closed_at


def test_who_comes_back_within_an_hour_is_billed_from_the_next_one_on(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(1_200)
    shop.comes_back(payer, EVENING + timedelta(minutes=23, seconds=45))
    payer.uses(1_300, EVENING + HOUR)
    shop.end_the_month()
    for _ in range(2):
        close(shop)
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 15)
    assert Closing.objects.get().difference == ""


def test_who_comes_back_in_the_last_hour_of_the_month_is_billed_nothing_of_it(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(1_200)
    advance(shop.local, 720)
    shop.comes_back(payer, END - HOUR + timedelta(seconds=720))
    payer.uses(1_300, END - HOUR)
    shop.end_the_month()
    for _ in range(2):
        close(shop)
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 0)


def test_a_charge_that_is_under_way_is_waited_for(shop: Shop, payer: Payer) -> None:
    payer.uses(1_100)
    shop.end_the_month()

    def one_pass() -> None:
        try:
            close_drafts(GOING)
        finally:
            connection.close()

    with transaction.atomic():
        Account.objects.select_for_update().get(pk=payer.account.pk)
        closing_thread = threading.Thread(target=one_pass)
        closing_thread.start()
        closing_thread.join(1)
        assert closing_thread.is_alive()
        UsageHour.objects.update(units=1_101)
    closing_thread.join()
    assert payer.pushes() == [(EVENING, 1, 1_101)]


def test_while_the_database_is_a_little_behind_stripe_nothing_is_closed(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(7)
    shop.end_the_month()
    monkeypatch.setattr(closing.timezone, "now", lambda: END - timedelta(seconds=2))
    close_drafts(GOING)
    assert invoice_of(payer).status == "draft"
    assert payer.pushes() == []


def test_what_stripe_lost_is_sent_again_before_anybody_is_told(shop: Shop, payer: Payer) -> None:
    payer.uses(1_200)
    push_all()
    shop.count()
    lose_an_hour(shop)
    shop.end_the_month()
    close(shop)
    assert Closing.objects.get().difference == ""  # it may just be late
    later()
    close(shop)
    assert "Stripe's meter / ledger: 0 / 1200 units" in Closing.objects.get().difference
    close(shop)
    assert payer.pushes() == [(EVENING, 2, 1_200)]
    close(shop)
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 10)
    assert (Closing.objects.get().difference, mail.outbox) == ("", [])


def test_what_is_pushed_of_the_new_month_does_not_make_a_closing_wait(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(1_200)
    push_all()
    shop.count()
    lose_an_hour(shop)
    shop.end_the_month()
    close(shop)
    later()
    payer.uses(50, END)
    push_all()
    close(shop)
    assert "Stripe's meter / ledger: 0 / 1200 units" in Closing.objects.get().difference
    for _ in range(2):
        close(shop)
    assert payer.pushes() == [(EVENING, 2, 1_200), (END, 1, 50)]
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 10)


def test_a_draft_that_goes_on_differing_stays_one_and_an_operator_is_told_once(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(1_200)
    push_all()
    shop.count()
    shop.end_the_month()
    for _ in range(4):
        lose_an_hour(shop)
        later()
        close(shop)
        close(shop)
    assert invoice_of(payer).status == "draft"
    (told,) = mail.outbox
    assert told.to == ["operator@example.com"]
    assert told.subject == "An invoice of owner@example.com stays a draft"
    assert told.from_email == settings.DEFAULT_FROM_EMAIL
    assert f"{EVENING:%Y-%m-%d %H}:00 0 / 1200" in told.body
    assert Closing.objects.get().told_at


def test_a_difference_is_told_of_though_trouble_that_has_passed_was_told_of(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(1_200)
    push_all()
    shop.count()
    shop.end_the_month()
    lose_an_hour(shop)
    close(shop)
    Closing.objects.update(difference=f"{closing.FAILS}: x", told_at=timezone.now())
    for _ in range(3):
        lose_an_hour(shop)
        later()
        close(shop)
    (told,) = mail.outbox
    assert "0 / 1200" in told.body


def test_a_draft_of_which_stripe_does_not_say_whose_it_is_is_held(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.end_the_month()

    def no_meter(subscription: str) -> bool:
        raise stripe_gateway.StripeRefused("There is no meter.")

    monkeypatch.setattr(stripe_gateway, "is_our_subscription", no_meter)
    closing.hold(invoice_of(payer).id)
    assert not invoice_of(payer).auto_advance
    close(shop)
    assert Closing.objects.count() == 1


def test_an_operator_whose_mail_fails_is_told_later(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(1_200)
    push_all()
    shop.count()
    shop.end_the_month()
    refusing = [True, False]

    def mail_admins(subject: str, message: str) -> None:
        if refusing.pop(0):
            raise SMTPException("no")

    monkeypatch.setattr(closing, "mail_admins", mail_admins)
    for _ in range(4):
        lose_an_hour(shop)
        later()
        close(shop)
        close(shop)
    assert refusing == []
    assert Closing.objects.get().told_at


def test_an_invoice_of_another_total_stays_a_draft(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(1_200)
    push_all()
    shop.end_the_month()
    monkeypatch.setattr(closing, "tiers_of", lambda account: (Tier(None, 100),))
    shop.count()
    close(shop)
    later()
    close(shop)
    assert invoice_of(payer).status == "draft"
    assert "by our prices" in Closing.objects.get().difference


def test_a_draft_of_somebody_else_is_left_alone(
    shop: Shop, payer: Payer, holder: Callable[..., Holder]
) -> None:
    foreign = shop.payer(holder("stranger@example.com", Kind.LIVE))
    Account.objects.filter(pk=foreign.holder.customer.pk).update(stripe_customer_id="")
    shop.end_the_month()
    close(shop)
    assert invoice_of(foreign).status == "draft"
    assert invoice_of(foreign).auto_advance
    assert Closing.objects.count() == 1


def test_a_draft_of_what_else_the_customer_is_sold_is_left_alone(shop: Shop, payer: Payer) -> None:
    start, end = int(START.timestamp()), int(END.timestamp())
    support = sell_support(shop.local, payer.id, start, end)
    shop.end_the_month()
    (draft,) = (one for one in invoices_of(payer) if one.subscription == support)
    hold(draft.id)
    close(shop)
    assert {one.subscription: (one.status, one.auto_advance) for one in invoices_of(payer)} == {
        support: ("draft", True),
        payer.account.stripe_subscription_id: ("paid", False),
    }
    assert Closing.objects.count() == 1


def test_two_processes_that_close_at_once_finalise_once(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(1_200)
    push_all()
    shop.end_the_month()
    shop.count()
    finalize = stripe_gateway.finalize_invoice

    def twice(id: str) -> Invoice:
        finalize(id)
        return finalize(id)

    monkeypatch.setattr(stripe_gateway, "finalize_invoice", twice)
    close(shop)
    assert Closing.objects.get().closed_at
    assert invoice_of(payer).status == "paid"


def test_one_that_was_finalised_by_a_process_that_died_is_noted_as_closed(
    shop: Shop, payer: Payer
) -> None:
    shop.end_the_month()
    shop.fail("rate_limit")
    payer.uses(7)
    close(shop)
    client_of(shop.local).v1.invoices.finalize_invoice(invoice_of(payer).id)
    assert Closing.objects.get().closed_at is None
    close(shop)
    assert Closing.objects.get().closed_at


def test_a_draft_that_stripe_refuses_to_finalise_holds_up_no_other(
    shop: Shop, payer: Payer, holder: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = shop.payer(holder("stranger@example.com", Kind.LIVE))
    shop.end_the_month()
    refused = invoice_of(payer).id
    finalize = stripe_gateway.finalize_invoice

    def finalize_others(id: str) -> Invoice:
        if id == refused:
            raise StripeRefused("The customer has no address.")
        return finalize(id)

    monkeypatch.setattr(stripe_gateway, "finalize_invoice", finalize_others)
    for _ in range(2):
        close(shop)
    assert invoice_of(payer).status == "draft"
    assert invoice_of(other).status == "paid"
    assert Closing.objects.get(invoice_id=refused).difference == (
        "Stripe refuses: The customer has no address."
    )
    assert [told.to for told in mail.outbox] == [["operator@example.com"]]


def test_an_hour_that_stripe_refuses_waits_for_its_time_and_an_operator_is_told(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(1_200)
    payer.uses(300, END - HOUR)
    send = stripe_gateway.send_meter_event

    def refuse(customer: str, value: int, timestamp: int) -> None:
        if value == 300:
            raise StripeRefused("The meter is archived.")
        send(customer, value, timestamp)

    monkeypatch.setattr(stripe_gateway, "send_meter_event", refuse)
    shop.end_the_month()
    for _ in range(4):
        close(shop)
    assert payer.pushes() == [(EVENING, 1, 1_200), (END - HOUR, 1, None)]
    assert Closing.objects.get().difference == (
        f"Stripe refuses: 1 of the hours; {END - HOUR:%Y-%m-%d %H}:00: The meter is archived."
    )
    (told,) = mail.outbox
    assert "The meter is archived." in told.body
    monkeypatch.undo()
    MeterPush.objects.update(due_at=timezone.now())
    for _ in range(2):
        close(shop)
    assert (invoice_of(payer).status, invoice_of(payer).total) == ("paid", 25)
    assert Closing.objects.get().difference == ""


def test_a_fault_of_ours_in_one_draft_holds_up_no_other(
    shop: Shop, holder: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    payers = [shop.payer(holder(f"{number}@example.com", Kind.LIVE)) for number in range(3)]
    broken = payers[-1]  # the newest is the first of Stripe's list
    shop.end_the_month()
    monkeypatch.setattr(meter, "PUSHERS", 1)
    settled_hours = closing.settled_hours

    def settled(account: Account, *month: datetime) -> Hours:
        if account == broken.account:
            raise ValueError("a fault of ours")
        return settled_hours(account, *month)

    monkeypatch.setattr(closing, "settled_hours", settled)
    close(shop)
    assert [invoice_of(payer).status for payer in payers] == ["paid", "paid", "draft"]
    differing = Closing.objects.exclude(difference="").get()
    assert (differing.customer, differing.difference) == (
        broken.holder.customer,
        "The worker fails: ValueError('a fault of ours')",
    )
    assert len(mail.outbox) == 1


def test_a_database_that_is_lost_is_told_of_no_draft(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: object) -> None:
        raise OperationalError("server closed the connection")

    shop.end_the_month()
    monkeypatch.setattr(closing, "settled_hours", lost)
    with pytest.raises(OperationalError):
        close_drafts(GOING)
    assert Closing.objects.get().difference == ""


def test_a_stripe_that_is_away_ends_the_pass(shop: Shop, payer: Payer) -> None:
    shop.end_the_month()
    shop.fail("error", path="/v1/invoices")
    with pytest.raises(StripeUnavailable):
        close_drafts(GOING)


def test_a_draft_is_held_however_often_it_is_announced(shop: Shop, payer: Payer) -> None:
    shop.end_the_month()
    id = invoice_of(payer).id
    for _ in range(2):
        hold(id)
        assert not invoice_of(payer).auto_advance
    client_of(shop.local).v1.invoices.finalize_invoice(id)
    hold(id)
    assert invoice_of(payer).status == "paid"
    hold("in_that_was_deleted")


def test_an_invoice_that_became_final_while_it_was_held_is_collected(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(3_000)
    push_all()
    shop.end_the_month()
    shop.count()
    retrieve = stripe_gateway.retrieve_invoice
    drafts = [invoice_of(payer)]

    def as_it_was(id: str) -> Invoice:
        if drafts:
            draft = drafts.pop()
            client_of(shop.local).v1.invoices.finalize_invoice(id, {"auto_advance": False})
            return draft
        return retrieve(id)

    monkeypatch.setattr(stripe_gateway, "retrieve_invoice", as_it_was)
    hold(invoice_of(payer).id)
    shop.count()
    assert invoice_of(payer).status == "paid"


def become_final_and_wait(shop: Shop, payer: Payer) -> None:
    """As if a process that then died had held the draft when another one had finalised it."""
    payer.uses(3_000)
    shop.end_the_month()
    close_drafts(GOING)
    shop.count()
    id = invoice_of(payer).id
    client_of(shop.local).v1.invoices.finalize_invoice(id, {"auto_advance": False})
    assert (invoice_of(payer).status, Closing.objects.get().closed_at) == ("open", None)


def test_an_invoice_that_was_final_before_a_process_held_it_and_died_is_collected(
    shop: Shop, payer: Payer
) -> None:
    become_final_and_wait(shop, payer)
    close(shop)
    assert invoice_of(payer).status == "paid"


def test_an_invoice_that_was_to_wait_for_days_is_left_alone(shop: Shop, payer: Payer) -> None:
    become_final_and_wait(shop, payer)
    Closing.objects.update(closed_at=timezone.now() - timedelta(days=2))
    close(shop)
    assert invoice_of(payer).status == "open"
