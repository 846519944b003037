"""What the local Stripe claims of the real one: each scenario runs at either.

    STRIPE_SECRET_KEY=sk_test_… .venv/bin/pytest -m stripe_live tests/test_stripe_live.py

asks the real one, in test mode, for some minutes. docs/operations.md lists what that leaves open.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from billing import rating, stripe_gateway
from billing.plans import GRADUATED, PRICE_LOOKUP_KEY
from billing.stripe_gateway import Invoice, StripeRefused, Subscription, Summary
from tests.local_stripe import at
from tests.stripe_worlds import (
    HOUR,
    NotATestKey,
    World,
    live_world,
    local_world,
)

# Without one, the settings fill in that of the local Stripe, and where that is.
KEY = "" if os.environ.get("STRIPE_API_BASE") else os.environ.get("STRIPE_SECRET_KEY", "")


@pytest.fixture(params=["local", pytest.param("live", marks=pytest.mark.stripe_live)])
def world(request: pytest.FixtureRequest, settings: Any) -> Iterator[World]:
    opened = local_world(settings) if request.param == "local" else live_world(settings, KEY)
    with opened as world:
        set_up()
        yield world


def set_up() -> str:
    out = StringIO()
    call_command("stripe_setup", stdout=out)
    return out.getvalue()


def subscribed(world: World, customer: str) -> Subscription:
    price = stripe_gateway.find_price(PRICE_LOOKUP_KEY)
    assert price is not None
    return stripe_gateway.create_subscription(
        customer, price.id, "", world.start, world.end, f"subscription-{customer}"
    )


def counted(world: World, customer: str, expected: dict[int, int]) -> bool:
    """Whether the meter comes to have these units in these hours, and no others."""
    wanted = [Summary(hour, hour + HOUR, units) for hour, units in sorted(expected.items())]

    def agrees() -> bool:
        return stripe_gateway.hourly_summaries(customer, world.start, world.end) == wanted

    return world.comes_true(agrees)


def draft_of_the_month(world: World, customer: str) -> Invoice:
    """The month ends, and its invoice is held as a draft."""
    world.go_to(world.end)
    assert world.comes_true(lambda: bool(stripe_gateway.list_invoices(customer, "draft")))
    (draft,) = stripe_gateway.list_invoices(customer, "draft")
    stripe_gateway.set_auto_advance(draft.id, False)
    return draft


def hour_of(world: World, back: int = 1) -> int:
    """So many full hours before now."""
    return world.now - world.now % HOUR - back * HOUR


def test_what_is_set_up_is_found_again(world: World) -> None:
    told = set_up()
    assert told.count(" is there\n") == 6
    price = stripe_gateway.find_price(PRICE_LOOKUP_KEY)
    assert price is not None
    assert (price.tiers, price.meter) == (GRADUATED, stripe_gateway.find_meter())


def test_a_subscription_begins_and_ends_with_the_month(world: World) -> None:
    subscription = subscribed(world, world.customer())
    assert (subscription.period_start, subscription.period_end) == (world.start, world.end)
    assert subscription.is_live


def test_of_an_hour_the_newest_total_holds_however_late_an_older_one_comes(world: World) -> None:
    customer, one, two = world.customer(), hour_of(world, 1), hour_of(world, 2)
    stripe_gateway.send_meter_event(customer, 40, one + 2)
    stripe_gateway.send_meter_event(customer, 30, one + 1)
    stripe_gateway.send_meter_event(customer, 7, two + 1)
    assert counted(world, customer, {one: 40, two: 7})
    stripe_gateway.send_meter_event(customer, 50, one + 3)
    stripe_gateway.send_meter_event(customer, 7, two + 1)  # sent again, it says the same
    assert counted(world, customer, {one: 50, two: 7})


def test_of_two_totals_at_one_second_the_first_to_come_holds(world: World) -> None:
    """Not relied on: what is sent again with its second is what was sent before."""
    customer, one, two = world.customer(), hour_of(world, 1), hour_of(world, 2)
    stripe_gateway.send_meter_event(customer, 10, one)
    assert counted(world, customer, {one: 10})
    stripe_gateway.send_meter_event(customer, 20, one)
    stripe_gateway.send_meter_event(customer, 1, two)
    assert counted(world, customer, {one: 10, two: 1})


@pytest.mark.parametrize("units", [102_010, 2_010], ids=["three tiers", "half a cent"])
def test_usage_from_before_and_after_the_subscription_is_billed_as_our_prices_say(
    world: World, units: int
) -> None:
    customer, early, late = world.customer(), hour_of(world, 3), hour_of(world, 1)
    stripe_gateway.send_meter_event(customer, 1_500, early)
    subscribed(world, customer)
    stripe_gateway.send_meter_event(customer, units - 1_510, late)
    assert counted(world, customer, {early: 1_500, late: units - 1_510})
    draft = draft_of_the_month(world, customer)
    assert (draft.period_start, draft.period_end) == (world.start, world.end)
    stripe_gateway.send_meter_event(customer, units - 1_500, late + 1)  # while it is a draft
    assert counted(world, customer, {early: 1_500, late: units - 1_500})
    world.go_to(world.end + 2 * HOUR)
    assert stripe_gateway.retrieve_invoice(draft.id).status == "draft"  # it was held
    final = stripe_gateway.finalize_invoice(draft.id)
    lines = stripe_gateway.list_lines(final.id)
    assert sum(line.quantity for line in lines) == units
    assert final.total == rating.cents(rating.price(GRADUATED, units))
    assert sum(line.amount for line in lines) == final.total
    world.go_to(world.end + 4 * HOUR)
    assert world.comes_true(lambda: stripe_gateway.retrieve_invoice(final.id).status == "paid")


def test_less_than_half_a_dollar_is_carried_over_and_not_charged(world: World) -> None:
    customer, hour = world.customer(), hour_of(world)
    subscribed(world, customer)
    stripe_gateway.send_meter_event(customer, 1_505, hour)
    assert counted(world, customer, {hour: 1_505})
    final = stripe_gateway.finalize_invoice(draft_of_the_month(world, customer).id)
    assert (final.total, final.amount_due) == (25, 0)
    assert world.comes_true(lambda: stripe_gateway.retrieve_invoice(final.id).status == "paid")
    assert stripe_gateway.retrieve_invoice(final.id).amount_paid == 0


def test_a_declined_card_leaves_the_invoice_open_until_another_pays_it(world: World) -> None:
    customer, hour = world.customer("pm_card_chargeCustomerFail"), hour_of(world)
    subscribed(world, customer)
    stripe_gateway.send_meter_event(customer, 3_000, hour)
    assert counted(world, customer, {hour: 3_000})
    final = stripe_gateway.finalize_invoice(draft_of_the_month(world, customer).id)
    world.go_to(world.end + 2 * HOUR)
    assert world.comes_true(lambda: stripe_gateway.retrieve_invoice(final.id).attempted)
    with pytest.raises(StripeRefused) as refused:
        stripe_gateway.pay_invoice(final.id)
    assert refused.value.code == "card_declined"
    assert stripe_gateway.retrieve_invoice(final.id).status == "open"
    (subscription,) = stripe_gateway.subscriptions_of(customer)
    assert (subscription.status, subscription.is_live) == ("past_due", True)
    world.give_card(customer, "pm_card_visa")
    assert stripe_gateway.pay_invoice(final.id).status == "paid"


@pytest.mark.parametrize("key", ["", "sk_live_x", "rk_live_x", "sk_testing"])
def test_no_key_but_one_of_the_test_mode_is_taken(settings: Any, key: str) -> None:
    with pytest.raises(NotATestKey), live_world(settings, key):
        pass


def test_a_month_is_that_of_its_clock() -> None:
    world = World(int(datetime(2026, 12, 31, 23, 59, tzinfo=UTC).timestamp()))
    assert (world.start, world.end) == (at("2026-12-01 00:00"), at("2027-01-01 00:00"))
