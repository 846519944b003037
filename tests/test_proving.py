"""`manage.py prove`: the books as they are, ours and Stripe's, held against each other."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from smtplib import SMTPException
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from accounts.keys import Kind
from billing import invoices, stripe_gateway
from billing.management.commands import prove as command
from billing.meter_models import MeterPush, Proof
from billing.models import Invoice, UsageHour
from billing.worker_models import ProofRun
from tests.conftest import Holder
from tests.payers import (
    END,
    EVENING,
    HOUR,
    PERIOD,
    START,
    Payer,
    Shop,
    close_the_month,
    open_watched_shop,
    push_all,
)

pytestmark = pytest.mark.django_db(transaction=True)
MONTH = f"{PERIOD:%Y-%m}"


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with open_watched_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    payer = shop.payer(holder("owner@example.com", Kind.LIVE))
    payer.calls(1_000)
    payer.calls(468)
    payer.calls(37, END - HOUR)
    payer.calls(0)
    Payer(holder("owner@example.com"), payer.id).calls(5)
    return payer


@pytest.fixture
def stranger(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    """Somebody who pays nothing, and calls."""
    stranger = Payer(holder("stranger@example.com", Kind.LIVE), "")
    stranger.calls(12)
    return stranger


def prove(*arguments: str) -> str:
    out = StringIO()
    call_command("prove", *arguments, stdout=out)
    return out.getvalue()


def differs(*arguments: str) -> str:
    with pytest.raises(CommandError) as failed:
        prove(*arguments)
    assert failed.value.returncode == 1
    return str(failed.value)


def altered(shop: Shop, kind: str, **fields: Any) -> None:
    """Stripe says something else of its only object of this kind."""
    with shop.local.world.lock:
        (row,) = shop.local.world.store.all(kind)
        shop.local.world.store.put({**row, **fields})


def test_a_month_that_was_billed_is_proved_from_the_calls_to_the_invoice(
    shop: Shop, payer: Payer, stranger: Payer
) -> None:
    close_the_month(shop)
    assert prove() == "4 months of customers were proved.\n"  # both have the running one, too
    proof = Proof.objects.get(customer=payer.holder.customer, period=PERIOD)
    assert (proof.log_units, proof.hour_units, proof.pushed_units) == (1_505, 1_505, 1_505)
    assert (proof.metered_units, proof.invoiced_units) == (1_505, 1_505)
    assert (proof.rated_cents, proof.invoiced_cents, proof.differences) == (25, 25, "")
    free = Proof.objects.get(customer=stranger.holder.customer, period=PERIOD)
    assert (free.log_units, free.hour_units, free.pushed_units) == (12, 12, None)
    assert mail.outbox == []


def test_a_proof_of_everything_is_kept_and_one_of_a_part_is_not(
    shop: Shop, payer: Payer, stranger: Payer
) -> None:
    stranger.logs(1)
    prove("--customer", "owner@example.com", "--period", MONTH.replace(MONTH[:4], "2020"))
    assert not ProofRun.objects.exists()
    differs()
    run = ProofRun.objects.get()
    assert (run.night, run.customers, run.months) == (None, 2, 4)
    assert (run.differing, run.unanswered) == (2, 0)
    assert run.ended_at


def test_a_forged_row_of_the_log_is_named(shop: Shop, payer: Payer, stranger: Payer) -> None:
    close_the_month(shop)
    stranger.logs(1, EVENING + HOUR)
    told = differs()
    assert told == (
        f"stranger@example.com, {MONTH}: log / ledger: 13 / 12 units; "
        f"{EVENING + HOUR:%Y-%m-%d %H}:00 1 / 0"
    )
    assert mail.outbox[0].body == told
    assert prove("--customer", "OWNER@example.com", "--period", MONTH).startswith("1 month")
    assert Proof.objects.exclude(differences="").count() == 1


def test_a_call_that_the_log_lacks_is_named(shop: Shop, payer: Payer) -> None:
    payer.uses(2)
    assert "log / ledger: 1505 / 1507 units" in differs("--period", MONTH)


def test_a_forged_hour_is_named(shop: Shop, payer: Payer) -> None:
    close_the_month(shop)
    UsageHour.objects.filter(units=1_468).update(units=1_469)
    told = differs("--customer", "owner@example.com")
    for name in ("log", "pushes", "Stripe's meter"):
        assert f"owner@example.com, {MONTH}: {name} / ledger: 1505 / 1506 units" in told
    assert "1505 units, ledger 1506" in told


def test_a_lost_push_is_named(shop: Shop, payer: Payer) -> None:
    push_all()
    shop.count()
    MeterPush.objects.filter(hour=END - HOUR).delete()
    told = differs("--period", MONTH)
    assert told.startswith(
        f"owner@example.com, {MONTH}: pushes / ledger: 1468 / 1505 units; "
        f"{END - HOUR:%Y-%m-%d %H}:00 0 / 37"
    )
    assert "Stripe's meter" not in told


def test_a_push_that_stripe_lost_is_named(shop: Shop, payer: Payer) -> None:
    push_all()
    told = differs("--period", MONTH)  # nothing of it is counted yet, weeks later
    assert "Stripe's meter / ledger: 0 / 1505 units" in told
    assert "pushes" not in told


def test_who_came_back_in_the_month_is_proved_from_the_next_full_hour_on(
    shop: Shop, payer: Payer
) -> None:
    payer.calls(1_300, EVENING + HOUR)
    shop.comes_back(payer, EVENING + timedelta(minutes=23, seconds=45))
    close_the_month(shop)
    assert prove("--period", MONTH)
    proof = Proof.objects.get()
    assert (proof.log_units, proof.metered_units, proof.invoiced_units) == (1_337, 1_337, 1_337)
    altered(shop, "invoice", total=1)
    assert differs("--period", MONTH).endswith("$0.01, by our prices $0.17")


@pytest.mark.parametrize(
    "other",
    [{"subscription": ""}, {"subscription": "sub_support"}, {"period_end": int(START.timestamp())}],
)
def test_an_invoice_that_bills_no_usage_is_not_the_one_of_the_month(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any]
) -> None:
    close_the_month(shop)
    (invoice,) = stripe_gateway.list_invoices(payer.id)
    newer = replace(invoice, id="in_other", total=0, **other)
    monkeypatch.setattr(stripe_gateway, "list_invoices", lambda customer: [newer, invoice])
    assert prove("--period", MONTH)


def test_an_altered_invoice_is_named(shop: Shop, payer: Payer) -> None:
    close_the_month(shop)
    altered(shop, "invoice", total=26)
    told = differs()
    assert told.startswith(f"owner@example.com, {MONTH}: invoice in_")
    assert told.endswith("$0.26, by our prices $0.25")


def test_an_altered_copy_of_an_invoice_is_named(shop: Shop, payer: Payer) -> None:
    shop.end_the_month()
    (draft,) = stripe_gateway.list_invoices(payer.id)
    with transaction.atomic():
        invoices.read(draft.id)()
    close_the_month(shop)
    assert prove()  # our copy does not know yet that it is final
    with transaction.atomic():
        invoices.read(draft.id)()
    assert prove()
    Invoice.objects.update(total=24)
    assert differs().endswith("$0.25, on our pages $0.24")


def test_an_invoice_with_another_line_is_named(shop: Shop, payer: Payer) -> None:
    close_the_month(shop)
    with shop.local.world.lock:
        (row,) = shop.local.world.store.all("invoice")
        row["lines"]["data"][0]["quantity"] -= 1
        shop.local.world.store.put(row)
    assert differs().endswith("1504 units, ledger 1505")


def test_a_month_that_was_never_billed_is_named_when_stripe_had_its_time(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_all()
    shop.count()
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: END + timedelta(days=2))
    assert prove("--period", MONTH)
    monkeypatch.setattr(timezone, "now", lambda: max(now, END + timedelta(days=4)))
    assert differs("--period", MONTH).endswith("there is no invoice")
    shop.end_the_month()
    assert differs("--period", MONTH).endswith(" is a draft")


def test_a_month_whose_invoice_was_voided_lacks_none(shop: Shop, payer: Payer) -> None:
    close_the_month(shop)
    altered(shop, "invoice", status="void", total=26)
    assert prove("--period", MONTH)
    MeterPush.objects.filter(hour=END - HOUR).delete()
    assert "pushes / ledger" in differs("--period", MONTH)


def test_an_invoice_beside_one_that_was_voided_is_compared(shop: Shop, payer: Payer) -> None:
    close_the_month(shop)
    altered(shop, "invoice", total=26)
    with shop.local.world.lock:
        (row,) = shop.local.world.store.all("invoice")
        shop.local.world.store.put({**row, "id": "in_voided", "status": "void"})
    assert differs("--period", MONTH).endswith("$0.26, by our prices $0.25")


def test_a_customer_of_whom_stripe_does_not_say_is_named_and_the_others_are_proved(
    shop: Shop, payer: Payer, stranger: Payer
) -> None:
    shop.fail("error", path="/v1/subscriptions")
    told = differs("--period", MONTH)
    assert told.startswith("owner@example.com: Stripe does not say: ")
    assert Proof.objects.get().customer == stranger.holder.customer


def test_who_was_no_payer_in_a_month_has_no_invoice_to_prove(
    shop: Shop, holder: Callable[..., Holder]
) -> None:
    earlier = EVENING - timedelta(days=31)
    was_free = Payer(holder("stranger@example.com", Kind.LIVE), "")
    was_free.uses(3, earlier)
    shop.payer(was_free.holder).calls(5)
    close_the_month(shop)
    assert differs().splitlines() == [
        f"stranger@example.com, {earlier:%Y-%m}: log / ledger: 0 / 3 units; "
        f"{earlier:%Y-%m-%d %H}:00 0 / 3"
    ]
    before, then, _ = Proof.objects.order_by("period")
    assert (before.pushed_units, before.rated_cents) == (None, None)
    assert (then.pushed_units, then.rated_cents) == (5, 0)


@pytest.mark.parametrize("fault", [SMTPException("away"), ConnectionRefusedError()])
def test_what_differs_is_said_though_the_mail_fails(
    stranger: Payer, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail(subject: str, text: str) -> None:
        raise fault

    stranger.logs(1)
    monkeypatch.setattr(command, "mail_admins", fail)
    assert "log / ledger: 13 / 12 units" in differs()


def test_a_stranger_to_us_is_an_error(shop: Shop) -> None:
    with pytest.raises(CommandError, match="There is no customer"):
        prove("--customer", "nobody@example.com")


def test_the_log_of_a_month_that_may_be_dropped_is_not_asked_for(
    shop: Shop, payer: Payer, settings: Any
) -> None:
    payer.logs(1)
    close_the_month(shop)
    assert "log / ledger" in differs("--period", MONTH)
    settings.CALL_RETENTION_MONTHS = 0
    assert prove("--period", MONTH)
    assert Proof.objects.get().log_units is None
