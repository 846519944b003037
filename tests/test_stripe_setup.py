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
from tests.local_stripe import at, checked_stripe, control

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


def test_new_kinds_of_events_are_asked_for_at_the_address_that_is_there(
    local: LocalStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up()
    monkeypatch.setattr(stripe_setup, "SNAPSHOT_TYPES", ("invoice.paid",))
    assert set_up().count(" is there\n") == 6
    (endpoint,) = state(local)["webhook_endpoint"]
    assert endpoint["enabled_events"] == ["invoice.paid"]
