"""The worker's nightly proof: once a night, by one of many, killed anywhere it goes on."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

import pytest
from django.core import mail
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from accounts.keys import Kind
from accounts.models import Customer
from billing import meter, nightly
from billing.meter_models import Proof
from billing.nightly import go_on
from billing.stripe_gateway import StripeUnavailable
from billing.worker_models import CLAIM, ProofRun, WorkerPass
from tests.conftest import Holder
from tests.payers import EVENING, HOUR, PERIOD, Payer, Shop, open_watched_shop

pytestmark = pytest.mark.django_db(transaction=True)
GOING = threading.Event()
DAY = timedelta(days=1)


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with open_watched_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    return shop.payer(holder("owner@example.com", Kind.LIVE))


@pytest.fixture
def strangers(shop: Shop, holder: Callable[..., Holder]) -> list[Payer]:
    """Some who pay nothing, and have called last month."""
    some = [Payer(holder(f"stranger{n}@example.com", Kind.LIVE), "") for n in range(3)]
    for one in some:
        one.calls(5)
    return some


@pytest.fixture
def steps_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nightly, "STEP", 1)


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "PUSHERS", 1)


def let_time_pass() -> None:
    """The claims of the dead run out."""
    ProofRun.objects.update(until=timezone.now())


def go_to_the_end() -> ProofRun:
    for _ in range(9):
        go_on(GOING)
    return ProofRun.objects.get()


def test_every_customer_is_proved_once_a_night(strangers: list[Payer]) -> None:
    go_on(GOING)
    run = ProofRun.objects.get()
    assert run.ended_at
    assert (run.customers, run.months, run.differing, run.unanswered) == (3, 6, 0, 0)
    assert Proof.objects.count() == 6  # the running month, too
    before = set(Proof.objects.values_list("proved_at", flat=True))
    go_on(GOING)
    assert set(Proof.objects.values_list("proved_at", flat=True)) == before
    assert mail.outbox == []


def test_the_next_night_has_its_own(strangers: list[Payer], monkeypatch: Any) -> None:
    go_on(GOING)
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + DAY)
    go_on(GOING)
    first, second = ProofRun.objects.order_by("night")
    assert second.night == first.night + DAY
    assert (second.customers, second.months) == (first.customers, first.months)


@pytest.mark.parametrize(("hour", "nights_back"), [(2, 1), (3, 0), (23, 0)])
def test_a_night_begins_at_three(
    strangers: list[Payer], monkeypatch: Any, hour: int, nights_back: int
) -> None:
    now = timezone.now().replace(hour=hour, minute=0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    go_on(GOING)
    assert ProofRun.objects.get().night == (now - nights_back * DAY).date()


def test_what_differs_is_told_once_a_night(strangers: list[Payer], monkeypatch: Any) -> None:
    strangers[1].logs(1, EVENING + HOUR)
    for _ in range(3):
        go_on(GOING)
        let_time_pass()
    assert [one.to for one in mail.outbox] == [["operator@example.com"]]
    assert mail.outbox[0].body.startswith(
        f"stranger1@example.com, {PERIOD:%Y-%m}: log / ledger: 6 / 5 units"
    )
    assert ProofRun.objects.get().differing == 1
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + DAY)
    go_on(GOING)
    assert len(mail.outbox) == 2


def test_a_mail_is_no_longer_than_one_reads(strangers: list[Payer], monkeypatch: Any) -> None:
    monkeypatch.setattr(nightly, "NAMED_AT_MOST", 2)
    for one in strangers:
        one.logs(1)
    go_on(GOING)
    lines = mail.outbox[0].body.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "and 1 more: the admin has them."


def test_a_mail_that_fails_is_sent_again(strangers: list[Payer], monkeypatch: Any) -> None:
    strangers[0].logs(1)
    send = nightly.mail_admins

    def fail(subject: str, text: str) -> None:
        raise SMTPException("away")

    monkeypatch.setattr(nightly, "mail_admins", fail)
    go_on(GOING)
    monkeypatch.setattr(nightly, "mail_admins", send)
    let_time_pass()
    go_on(GOING)
    assert len(mail.outbox) == 1
    assert ProofRun.objects.get().customers == 3


def test_killed_in_a_step_it_goes_on_with_that_step(
    strangers: list[Payer], steps_of_one: None, monkeypatch: Any
) -> None:
    go_on(GOING)
    prove = nightly.prove

    def die(*args: Any) -> Iterator[Proof]:
        yield from prove(*args)
        raise SystemExit

    monkeypatch.setattr(nightly, "prove", die)
    with pytest.raises(SystemExit):
        go_on(GOING)
    monkeypatch.setattr(nightly, "prove", prove)
    go_on(GOING)
    assert ProofRun.objects.get().customers == 1  # it is the dead one's turn for a while
    let_time_pass()
    run = go_to_the_end()
    assert (run.customers, run.months) == (3, 6)
    assert run.ended_at


def test_who_lost_his_turn_counts_nothing(strangers: list[Payer], monkeypatch: Any) -> None:
    in_parallel = meter.in_parallel

    def overtaken(*args: Any) -> None:
        in_parallel(*args)
        monkeypatch.setattr(meter, "in_parallel", in_parallel)
        let_time_pass()
        go_on(GOING)

    strangers[0].logs(1)
    monkeypatch.setattr(meter, "in_parallel", overtaken)
    go_on(GOING)
    run = ProofRun.objects.get()
    assert (run.customers, run.differing, len(mail.outbox)) == (3, 1, 1)


def test_a_step_stays_whose_turn_it_is_however_long_it_takes(
    strangers: list[Payer], one_at_a_time: None, monkeypatch: Any
) -> None:
    proved = nightly.proved

    def slowly(customer: Customer) -> nightly.Found:
        ProofRun.objects.update(until=F("until") - 0.9 * CLAIM)
        assert ProofRun.take(ProofRun.objects.get().night) is None
        return proved(customer)

    monkeypatch.setattr(nightly, "proved", slowly)
    go_on(GOING)
    assert ProofRun.objects.get().customers == 3


def test_who_lost_his_turn_proves_no_further_customer(
    strangers: list[Payer], one_at_a_time: None, monkeypatch: Any
) -> None:
    proved = nightly.proved
    customers: list[Customer] = []

    def overtaken(customer: Customer) -> nightly.Found:
        customers.append(customer)
        let_time_pass()
        assert ProofRun.take(ProofRun.objects.get().night)
        return proved(customer)

    monkeypatch.setattr(nightly, "proved", overtaken)
    go_on(GOING)
    assert customers == [strangers[0].holder.customer]
    run = ProofRun.objects.get()
    assert run.customers == 0
    assert run.until > timezone.now()


def test_told_to_stop_it_leaves_the_step_to_another(strangers: list[Payer]) -> None:
    stopped = threading.Event()
    stopped.set()
    go_on(stopped)
    assert ProofRun.objects.get().customers == 0
    go_on(GOING)
    assert ProofRun.objects.get().customers == 3


def test_while_stripe_is_away_a_step_is_taken_again_but_not_for_ever(
    shop: Shop, payer: Payer, strangers: list[Payer]
) -> None:
    payer.calls(0)
    shop.fail("outage", path="/v1/subscriptions", seconds=3_600)
    with pytest.raises(StripeUnavailable):
        go_on(GOING)
    run = ProofRun.objects.get()
    assert (run.customers, run.ended_at) == (0, None)
    ProofRun.objects.update(began_at=timezone.now() - nightly.PATIENCE)
    go_on(GOING)
    run.refresh_from_db()
    assert (run.customers, run.unanswered) == (4, 1)
    assert run.ended_at
    assert mail.outbox[0].body == "Stripe does not say of 1 customers: the log names them."


def test_older_months_are_proved_until_they_agree(strangers: list[Payer], monkeypatch: Any) -> None:
    stranger = strangers[0]
    earlier = EVENING - timedelta(days=62)
    stranger.holder.customer.usagehour_set.create(
        key=stranger.holder.row, hour=earlier, calls=1, units=1, errors=0
    )
    now = timezone.now()

    def months_of_night(number: int) -> int:
        monkeypatch.setattr(timezone, "now", lambda: now + number * timedelta(minutes=1))
        ProofRun.objects.all().delete()
        go_on(GOING)
        return ProofRun.objects.get().months

    assert months_of_night(0) == 6 + 2
    stranger.holder.customer.usagehour_set.filter(hour=earlier).update(units=0, errors=1)
    assert months_of_night(1) == 6 + 1
    assert months_of_night(2) == 6


def test_the_worker_proves_and_notes_its_pass(strangers: list[Payer]) -> None:
    call_command("bill")
    assert ProofRun.objects.get().months == 6
    last = WorkerPass.objects.get()
    assert timezone.now() - last.ended_at < timedelta(minutes=1)
    assert last.unhandled_events == 0
    call_command("bill")
    assert WorkerPass.objects.get().ended_at > last.ended_at
