"""Usage on its way to Stripe's meter, against the local Stripe over HTTP."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from accounts.keys import Kind
from billing import meter, stripe_gateway
from billing.meter import DueHour, begin, due_hours, note, push, push_due
from billing.meter_models import MeterClaim, MeterPush
from billing.models import Account
from tests.conftest import Holder
from tests.payers import EVENING, HOUR, START, Payer, Shop, open_shop, push_all

pytestmark = pytest.mark.django_db(transaction=True)
GOING = threading.Event()


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with open_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    return shop.payer(holder("owner@example.com", Kind.LIVE))


def due(payer: Payer) -> DueHour:
    return DueHour(payer.holder.customer.pk, payer.id, EVENING)


def elsewhere(work: Callable[[], object]) -> threading.Thread:
    """Begin with it on another connection to the database."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_each_hour_has_its_total_at_stripe(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    payer.uses(5)
    payer.uses(1_200, EVENING + HOUR)
    push_all()
    shop.count()
    assert payer.metered() == {EVENING: 12, EVENING + HOUR: 1_200}
    assert payer.pushes() == [(EVENING, 1, 12), (EVENING + HOUR, 1, 1_200)]


def test_what_has_grown_is_sent_again_whole_and_what_has_not_is_not(
    shop: Shop, payer: Payer
) -> None:
    payer.uses(7)
    payer.uses(3, EVENING + HOUR)
    push_all()
    payer.uses(2)
    push_all()
    shop.count()
    assert payer.metered() == {EVENING: 9, EVENING + HOUR: 3}
    assert payer.pushes() == [(EVENING, 2, 9), (EVENING + HOUR, 1, 3)]


def test_test_keys_errors_and_customers_without_a_subscription_are_not_pushed(
    shop: Shop, payer: Payer, holder: Callable[..., Holder]
) -> None:
    Payer(holder("owner@example.com"), payer.id).uses(4)
    Payer(holder("stranger@example.com", Kind.LIVE), "").uses(4)
    payer.uses(0)
    push_all()
    assert not MeterPush.objects.exists()


def test_an_hour_is_pushed_every_five_minutes_at_most(shop: Shop, payer: Payer) -> None:
    payer.uses(1)
    push_due(START, GOING)
    payer.uses(1)
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 1, 1)]
    wait = MeterPush.objects.get().due_at - timezone.now()
    assert timedelta(minutes=4) < wait <= timedelta(minutes=5)
    MeterPush.objects.update(due_at=timezone.now())
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 2, 2)]


@pytest.mark.parametrize("kind", ["error", "error_after", "rate_limit", "outage"])
def test_a_push_that_fails_is_made_again_after_a_while(shop: Shop, payer: Payer, kind: str) -> None:
    payer.uses(7)
    shop.fail(kind, **({"seconds": 3_600} if kind == "outage" else {}))
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 1, None)]
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 1, None)]  # it was too soon
    shop.heal()
    payer.uses(1)
    push_all()
    shop.count()
    assert (payer.metered(), payer.pushes()) == ({EVENING: 8}, [(EVENING, 2, 8)])


def test_a_push_whose_answer_is_lost_is_asked_about_at_once(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    shop.fail("lost_answer", times=1)
    push_due(START, GOING)
    shop.count()
    assert (payer.metered(), payer.pushes()) == ({EVENING: 7}, [(EVENING, 1, 7)])


def test_usage_behind_the_end_of_a_subscription_is_not_pushed(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    payer.uses(5, EVENING + HOUR)
    Account.objects.update(subscription_ends_at=EVENING + HOUR)
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 1, 7)]


def test_each_failure_in_a_row_is_followed_by_twice_the_wait(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    shop.fail("rate_limit")
    waits = []
    for _ in range(3):
        push_all()
        waits.append((MeterClaim.objects.get().until - timezone.now()).total_seconds())
    assert waits == pytest.approx([15, 30, 60], abs=2)
    shop.heal()
    push_all()
    claim = MeterClaim.objects.get()
    assert claim.failures == 0
    assert claim.until <= timezone.now()


def test_a_customer_whom_stripe_refuses_keeps_nobody_waiting(
    shop: Shop, payer: Payer, holder: Callable[..., Holder]
) -> None:
    other = shop.payer(holder("stranger@example.com", Kind.LIVE))
    old = EVENING - timedelta(days=40)
    payer.uses(7, old)
    payer.uses(8)
    other.uses(9)
    push_due(old, GOING)
    refused = MeterPush.objects.get(hour=old)
    assert (refused.units, refused.pushes) == (None, 1)
    assert "35 days" in refused.trouble
    shop.count()
    assert payer.metered() == {EVENING: 8}
    assert other.metered() == {EVENING: 9}
    push_due(old, GOING)
    assert MeterPush.objects.get(hour=old).pushes == 1


def test_the_number_of_a_push_is_on_the_disk_before_it_is_sent(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(7)
    seen: list[object] = []

    def send(customer: str, value: int, timestamp: int) -> None:
        elsewhere(lambda: seen.append(payer.pushes())).join()
        seen.append((customer, value, timestamp))

    monkeypatch.setattr(stripe_gateway, "send_meter_event", send)
    push(due(payer))
    assert seen == [[(EVENING, 1, None)], (payer.id, 7, int(EVENING.timestamp()) + 1)]


def test_a_push_that_comes_late_changes_nothing(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    slow = begin(due(payer))
    payer.uses(5)
    assert push(due(payer))
    stripe_gateway.send_meter_event(payer.id, slow.units, slow.timestamp)
    note(slow, units=slow.units)
    shop.count()
    assert (payer.metered(), payer.pushes()) == ({EVENING: 12}, [(EVENING, 2, 12)])


def test_a_push_reads_the_total_only_once_it_has_its_number(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    push(due(payer))
    attempts: list[meter.Attempt] = []
    with transaction.atomic():
        MeterPush.objects.select_for_update().get()
        waiting = elsewhere(lambda: attempts.append(begin(due(payer))))
        waiting.join(0.5)
        assert waiting.is_alive()
        elsewhere(lambda: payer.uses(5)).join()
    waiting.join()
    assert [(attempt.number, attempt.units) for attempt in attempts] == [(2, 12)]


def test_one_customer_is_pushed_by_one_process_at_a_time(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    theirs = MeterClaim.take(payer.holder.customer.pk)
    assert theirs
    push_due(START, GOING)
    assert payer.pushes() == []
    theirs.let_go()
    push_due(START, GOING)
    assert payer.pushes() == [(EVENING, 1, 7)]


def test_who_was_killed_is_followed_by_another_who_is_left_in_peace(
    shop: Shop, payer: Payer
) -> None:
    id = payer.holder.customer.pk
    killed = MeterClaim.take(id)
    assert killed
    assert killed.renew()
    MeterClaim.objects.update(until=timezone.now())
    follower = MeterClaim.take(id)
    assert follower
    assert not killed.renew()
    killed.let_go()
    killed.back_off()
    assert MeterClaim.take(id) is None
    assert follower.renew()


def test_who_lost_his_turn_pushes_no_further_hour(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    payer.uses(7)
    payer.uses(5, EVENING + HOUR)
    sent: list[int] = []

    def send(customer: str, value: int, timestamp: int) -> None:
        sent.append(value)
        MeterClaim.objects.update(until=timezone.now())
        assert MeterClaim.take(payer.holder.customer.pk)

    monkeypatch.setattr(stripe_gateway, "send_meter_event", send)
    push_due(START, GOING)
    assert sent == [7]


def test_some_customers_are_pushed_at_once_and_no_other_when_told_to_stop(
    shop: Shop, holder: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        shop.payer(holder(f"{number}@example.com", Kind.LIVE)).uses(3)
    sent: list[str] = []
    stopped = threading.Event()

    def send(customer: str, value: int, timestamp: int) -> None:
        sent.append(customer)
        if len(sent) == meter.PUSHERS:
            stopped.set()
        assert stopped.wait(10)

    monkeypatch.setattr(stripe_gateway, "send_meter_event", send)
    push_due(START, stopped)
    assert len(set(sent)) == len(sent) == meter.PUSHERS


def test_a_pass_is_over_what_changed_lately_and_once_an_hour_over_all(
    shop: Shop, payer: Payer
) -> None:
    passes = meter.Pushing()
    payer.uses(7)
    passes.run(GOING)
    assert payer.pushes() == [(EVENING, 1, 7)]
    payer.uses(1)
    MeterPush.objects.update(due_at=timezone.now())
    passes.run(GOING)
    assert payer.pushes() == [(EVENING, 1, 7)]
    passes.all_again = timezone.now()
    passes.run(GOING)
    assert payer.pushes() == [(EVENING, 2, 8)]


def test_what_is_due_is_found_for_all_in_one_query(
    shop: Shop, payer: Payer, holder: Callable[..., Holder], django_assert_num_queries: Any
) -> None:
    other = shop.payer(holder("stranger@example.com", Kind.LIVE))
    payer.uses(1)
    payer.uses(2, EVENING + HOUR)
    other.uses(3)
    with django_assert_num_queries(1):
        found = due_hours(START)
    assert [(hour.stripe_customer_id, hour.hour) for hour in found] == [
        (payer.id, EVENING),
        (payer.id, EVENING + HOUR),
        (other.id, EVENING),
    ]


def test_a_database_that_is_lost_ends_the_pass(
    shop: Shop, payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(hour: DueHour) -> None:
        raise OperationalError("server closed the connection")

    payer.uses(7)
    monkeypatch.setattr(meter, "begin", lost)
    with pytest.raises(OperationalError):
        push_due(START, GOING)
