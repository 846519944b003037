"""`manage.py stripe_setup`, at the local Stripe."""

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import stripe_gateway as gateway
from billing.management.commands import stripe_setup
from billing.plans import GRADUATED, PRICE_LOOKUP_KEY, Tier
from sandbox.stripe.server import LocalStripe
from tests.local_stripe import Json, at, checked_stripe, control

MUTABLE = ("billing.meter", "product", "price", "webhook_endpoint", "event")
KINDS = (*MUTABLE, "billing_portal.configuration", "v2.core.event_destination")


@pytest.fixture
def local(settings: Any) -> Iterator[LocalStripe]:
    with checked_stripe(now=at("2026-11-16 10:30")) as local:
        settings.STRIPE_API_BASE = local.url
        yield local


def set_up() -> str:
    out = StringIO()
    call_command("stripe_setup", stdout=out)
    return out.getvalue()


def state(local: LocalStripe) -> dict[str, Any]:
    with local.world.lock:
        rows = {kind: local.world.store.all(kind) for kind in KINDS}
    return {kind: [{**row, "updated": None} for row in rows[kind]] for kind in KINDS}


def test_it_makes_what_the_product_needs(local: LocalStripe, settings: Any) -> None:
    told = set_up()
    assert told.count(" made\n") == 6
    price = gateway.find_price(PRICE_LOOKUP_KEY)
    assert price is not None
    assert (price.tiers, price.meter) == (GRADUATED, gateway.find_meter())
    secrets = re.findall(r"whsec_\w+", told)
    assert set(secrets) == set(control(local, "GET", "secrets").values())
    (endpoint,) = state(local)["webhook_endpoint"]
    assert endpoint["url"] == f"{settings.PUBLIC_URL}/webhooks/stripe"
    assert endpoint["api_version"] == gateway.API_VERSION


def test_run_twice_it_changes_nothing_and_shows_no_secret(local: LocalStripe) -> None:
    set_up()
    before = state(local)
    told = set_up()
    assert state(local) == before
    assert told.count(" is there\n") == 6
    assert "whsec_" not in told


def test_after_a_fault_it_goes_on_where_it_was(
    local: LocalStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    failure = {"kind": "error", "path": "/v1/prices", "method": "POST", "times": 3}
    control(local, "POST", "failures", failure)
    with pytest.raises(CommandError, match="run this again"):
        set_up()
    told = set_up()
    assert told.count(" is there\n") == 2
    assert len(state(local)["price"]) == 1


def test_a_changed_plan_has_a_new_price_and_who_stays_is_told(
    local: LocalStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    old = gateway.find_price(PRICE_LOOKUP_KEY)
    assert old is not None
    customer = gateway.create_customer(7, "owner@example.com", "key")
    gateway.create_subscription(
        customer, old.id, "cs_1", at("2026-11-01 00:00"), at("2026-12-01 00:00"), "key of it"
    )
    dearer = (Tier(1_000, 0), Tier(None, 700))
    monkeypatch.setattr(stripe_setup, "GRADUATED", dearer)
    told = set_up()
    new = gateway.find_price(PRICE_LOOKUP_KEY)
    assert new is not None
    assert (new.tiers, new.id == old.id) == (dearer, False)
    assert f"Subscriptions that stay at {old.id}: 1." in told
    assert "$0.00 up to 1,000, $0.0007 for all further" in told
    assert set_up().count(" is there\n") == 6


def test_an_archived_price_is_replaced_by_one_that_can_be_subscribed_to(local: LocalStripe) -> None:
    set_up()
    old = gateway.find_price(PRICE_LOOKUP_KEY)
    assert old is not None
    gateway.v1().prices.update(old.id, {"active": False})
    assert set_up().count(" is there\n") == 5
    new = gateway.find_price(PRICE_LOOKUP_KEY)
    assert new is not None
    customer = gateway.create_customer(7, "owner@example.com", "key")
    start, anchor = at("2026-11-01 00:00"), at("2026-12-01 00:00")
    gateway.create_subscription(customer, new.id, "cs_1", start, anchor, "key of it")
    assert gateway.count_subscriptions(new.id) == 1
    assert set_up().count(" is there\n") == 6


def test_what_was_disabled_is_enabled_again_and_said(local: LocalStripe) -> None:
    set_up()
    (endpoint,), (destination,) = destinations(local)
    gateway.v1().webhook_endpoints.update(endpoint["id"], {"disabled": True})
    gateway.v2().core.event_destinations.disable(destination["id"])
    told = set_up()
    assert told.count(" is there\n  It was disabled, and is enabled again.\n") == 2
    assert [one["status"] for (one,) in destinations(local)] == ["enabled", "enabled"]
    assert "disabled" not in set_up()


def test_what_was_replaced_by_hand_stays_disabled(local: LocalStripe) -> None:
    set_up()
    (endpoint,), (destination,) = destinations(local)
    with local.world.lock:
        local.world.store.put({**endpoint, "id": "we_old", "status": "disabled"})
        local.world.store.put({**destination, "id": "ed_old", "status": "disabled"})
    before = state(local)
    assert set_up().count(" is there\n") == 6
    assert state(local) == before


def test_destinations_of_other_kinds_are_not_taken_for_that_of_thin_events(
    local: LocalStripe,
) -> None:
    set_up()
    _, (thin,) = destinations(local)
    snapshots = {"event_payload": "snapshot", "snapshot_api_version": gateway.API_VERSION}
    with local.world.lock:
        store = local.world.store
        store.delete(thin["object"], thin["id"])
        store.put({**thin, **snapshots, "id": "ed_snapshots"})
        store.put({**without_endpoint(thin), "id": "ed_bridge", "type": "amazon_eventbridge"})
    told = set_up()
    assert re.search(r"event destination ed_test_\w+ made\n", told)
    assert set_up().count(" is there\n") == 6


def destinations(local: LocalStripe) -> tuple[list[Json], list[Json]]:
    """The webhook endpoints and the destinations of thin events."""
    with local.world.lock:
        store = local.world.store
        return store.all("webhook_endpoint"), store.all("v2.core.event_destination")


def without_endpoint(destination: Json) -> Json:
    return {name: value for name, value in destination.items() if name != "webhook_endpoint"}


def test_new_kinds_of_events_are_asked_for_at_the_address_that_is_there(
    local: LocalStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    monkeypatch.setattr(stripe_setup, "SNAPSHOT_TYPES", ("invoice.paid",))
    assert set_up().count(" is there\n") == 6
    (endpoint,) = state(local)["webhook_endpoint"]
    assert endpoint["enabled_events"] == ["invoice.paid"]
