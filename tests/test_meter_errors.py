"""What Stripe reports later of the events that it took."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.keys import Kind
from billing import meter_errors, stripe_gateway
from billing.meter_models import MeterError, MeterPush
from billing.stripe_gateway import Event
from tests.conftest import Holder
from tests.local_stripe import advance, client_of
from tests.payers import EVENING, Payer, Shop, open_shop, push_all

pytestmark = pytest.mark.django_db(transaction=True)
GOING = threading.Event()


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with open_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    return shop.payer(holder("owner@example.com", Kind.LIVE))


def not_counted(shop: Shop, payer: Payer) -> None:
    """The meter is off when Stripe gets the push; a while later it says so, and it is on again."""
    meters = client_of(shop.local).v1.billing.meters
    meter = stripe_gateway.find_meter()
    meters.deactivate(meter)
    push_all()
    advance(shop.local, 31)
    meters.reactivate(meter)
    # The local Stripe's clock stands in another month; what counts is what lies between the two.
    (report,) = stripe_gateway.list_meter_errors()
    MeterPush.objects.update(pushed_at=report.since + timedelta(seconds=2))


def test_what_was_not_counted_is_noted_shown_and_pushed_again(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    not_counted(shop, payer)
    meter_errors.poll(GOING)
    error = MeterError.objects.get()
    assert (error.errors, error.hours) == (1, 1)
    assert error.summary.startswith("1 × archived_meter: The meter ")
    assert payer.pushes() == [(EVENING, 1, None)]
    assert MeterPush.objects.get().due_at > timezone.now() + timedelta(minutes=59)
    push_all()
    shop.count()
    assert payer.metered() == {EVENING: 7}


def test_a_report_that_comes_twice_is_noted_once(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    not_counted(shop, payer)
    (report,) = stripe_gateway.list_meter_errors()
    event = Event(report.event_id, report.type, 0, False, "", "")
    meter_errors.note_error(event)()
    push_all()
    meter_errors.note_error(event)()
    meter_errors.poll(GOING)
    assert payer.pushes() == [(EVENING, 2, 7)]
    assert MeterError.objects.count() == 1


def test_what_was_pushed_at_another_time_is_left_alone(shop: Shop, payer: Payer) -> None:
    payer.uses(7)
    not_counted(shop, payer)
    MeterPush.objects.update(pushed_at=timezone.now())
    meter_errors.poll(GOING)
    assert payer.pushes() == [(EVENING, 1, 7)]
    assert MeterError.objects.get().hours == 0
