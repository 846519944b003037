"""The worker as a process: killed at any step, with any trouble, it converges.

`CRASH_RUNS=100` takes as many runs as one likes.
"""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from accounts.keys import Kind
from billing import rating, stripe_gateway
from billing.management.commands import bill as worker
from billing.meter_models import Closing, MeterClaim, MeterPush
from billing.models import Account
from billing.plans import PAYG
from billing.proving import live_hours, utc
from billing.stripe_gateway import Event, StripeRefused
from billing.worker_models import WorkerPass
from sandbox.stripe.server import Exchange
from tests.conftest import Holder
from tests.payers import END, HOUR, START, Payer, Shop, log_of_the_month, open_shop
from tests.serving import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

TROUBLES = ("", "error", "error_after", "rate_limit", "lost_answer", "slow", "outage")
RUNS = int(os.environ.get("CRASH_RUNS", len(TROUBLES)))
TO_THE_END = 1_000_000
PASSES = 6  # after which all must be settled, once nothing goes wrong any more


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with log_of_the_month(), open_shop(settings) as shop:
        yield shop


@pytest.fixture
def payers(shop: Shop, holder: Callable[..., Holder]) -> list[Payer]:
    emails = ("owner@example.com", "stranger@example.com")
    return [shop.payer(holder(email, Kind.LIVE)) for email in emails]


@pytest.fixture
def sent(shop: Shop) -> list[tuple[str, int, int]]:
    """What Stripe was told: customer, hour and units."""
    sent: list[tuple[str, int, int]] = []
    watch = shop.local.watch

    def note(exchange: Exchange) -> None:
        watch(exchange)
        if exchange.path == "/v1/billing/meter_events":
            payload, at = exchange.params["payload"], int(exchange.params["timestamp"])
            hour = at - at % 3_600
            sent.append((payload["stripe_customer_id"], hour, int(payload["value"])))

    shop.local.watch = note
    return sent


def bill(shop: Shop, last_step: int = TO_THE_END) -> "subprocess.Popen[str]":
    """Start it on the database and the Stripe of this test."""
    name = connection.settings_dict["NAME"]
    head, _, query = os.environ["DATABASE_URL"].partition("?")
    environment = {
        **os.environ,
        "DATABASE_URL": f"{head.rpartition('/')[0]}/{name}?{query}",
        "STRIPE_SECRET_KEY": "sk_test_x",
        "STRIPE_API_BASE": shop.local.url,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.killed", str(last_step)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, int]:
    """Its return code and, if it lived, its steps."""
    out, _ = process.communicate(timeout=60)
    return process.returncode, int(out or 0)


def let_time_pass() -> None:
    """Claims of the dead run out, and whatever was to wait has waited."""
    MeterClaim.objects.update(until=timezone.now())
    MeterPush.objects.update(due_at=timezone.now())


def one_run(shop: Shop, trouble: str, last_step: int, is_alone: bool) -> bool:
    """A pass that dies in the middle of this trouble; whether it did."""
    if trouble:
        seconds = {"slow": 0.2, "outage": 3_600}.get(trouble, 0)
        shop.fail(trouble, path="", times=None if trouble == "outage" else 2, seconds=seconds)
    passes = [bill(shop, last_step)] + ([] if is_alone else [bill(shop)])
    codes = [ended(process)[0] for process in passes]
    shop.heal()
    let_time_pass()
    assert set(codes) <= {0, -9}
    return -9 in codes


def assert_never_above(payers: list[Payer], sent: list[tuple[str, int, int]]) -> None:
    """Neither what Stripe was told of an hour nor what its meter has is more than the ledger's."""
    ledger = {
        (payer.id, hour): units
        for payer in payers
        for hour, units in live_hours(payer.holder.customer, START, END).items()
    }
    told = [((customer, utc(hour)), units) for customer, hour, units in sent]
    metered = [
        ((payer.id, hour), units) for payer in payers for hour, units in payer.metered().items()
    ]
    assert [one for one in told + metered if one[1] > ledger.get(one[0], 0)] == []


def test_killed_at_any_step_in_any_trouble_it_converges(
    shop: Shop, payers: list[Payer], sent: list[tuple[str, int, int]]
) -> None:
    chance = random.Random(4)
    kills = 0
    for run in range(RUNS):
        for payer in payers:
            payer.calls(chance.randint(1, 900), END - chance.randint(1, 5) * HOUR)
        trouble = TROUBLES[run % len(TROUBLES)]
        kills += one_run(shop, trouble, chance.randint(10, 90), is_alone=run % 3 != 0)
        shop.count()
        assert_never_above(payers, sent)
    assert kills > RUNS / 2
    shop.end_the_month()
    for run in range(RUNS):
        trouble = TROUBLES[run % len(TROUBLES)]
        one_run(shop, trouble, chance.randint(10, 120), is_alone=run % 3 != 0)
        shop.count()
        assert_never_above(payers, sent)
    for _ in range(PASSES):
        assert ended(bill(shop))[0] == 0
        let_time_pass()
        shop.count()
        assert_never_above(payers, sent)
    for payer in payers:
        assert_settled(payer)
    call_command("prove")


def assert_settled(payer: Payer) -> None:
    ledger = live_hours(payer.holder.customer, START, END)
    assert payer.metered() == ledger
    (invoice,) = stripe_gateway.list_invoices(payer.id)
    assert invoice.status == "paid"
    assert invoice.total == rating.cents(rating.price(PAYG.tiers, sum(ledger.values())))
    assert Closing.objects.get(customer=payer.holder.customer).closed_at


def test_a_part_that_stripe_fails_keeps_no_other_from_its_work(
    shop: Shop, payers: list[Payer]
) -> None:
    payer = payers[0]
    payer.calls(7)
    shop.end_the_month()
    shop.fail("error", path="/v1/events")
    shop.fail("error", path="/v2/core/events")
    call_command("bill")
    assert payer.pushes() == [(END - 6 * HOUR, 1, 7)]
    assert not stripe_gateway.list_invoices(payer.id)[0].auto_advance


def test_nor_does_one_that_fails_as_nobody_expected_and_the_pass_does_not_count(
    shop: Shop, payers: list[Payer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stopped: threading.Event) -> None:
        raise ValueError("unforeseen")

    payers[0].calls(7)
    shop.end_the_month()
    WorkerPass.note(ended_at=END)
    monkeypatch.setattr(worker.meter_errors, "poll", fail)
    with pytest.raises(ValueError, match="unforeseen"):
        call_command("bill")
    assert not stripe_gateway.list_invoices(payers[0].id)[0].auto_advance
    assert WorkerPass.objects.get().ended_at == END


def test_nor_does_one_that_stripe_refuses_and_the_pass_does_not_count(
    shop: Shop, payers: list[Payer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(types: Sequence[str]) -> list[Event]:
        raise StripeRefused("The key may not read events.")

    shop.end_the_month()
    WorkerPass.note(ended_at=END)
    monkeypatch.setattr(stripe_gateway, "undelivered_events", refuse)
    with pytest.raises(StripeRefused):
        call_command("bill")
    assert not stripe_gateway.list_invoices(payers[0].id)[0].auto_advance
    assert WorkerPass.objects.get().ended_at == END


def test_a_pass_that_fails_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    stopped = threading.Event()
    passes = []

    def fail(stopped: threading.Event) -> None:
        passes.append(1)
        if len(passes) == 2:
            stopped.set()
        raise ValueError("unforeseen")

    monkeypatch.setattr(worker, "run_once", fail)
    monkeypatch.setattr(worker, "PAUSE_SECONDS", 0)
    worker.run_until(stopped)
    assert len(passes) == 2


def test_stripe_is_not_asked_before_there_is_a_payer(
    monkeypatch: pytest.MonkeyPatch, owner: Holder
) -> None:
    def asked(key: str, base: str) -> None:
        raise AssertionError("Stripe was asked")

    monkeypatch.setattr(stripe_gateway.client, "client_for", asked)
    Account.objects.of(owner.customer)
    call_command("bill")
