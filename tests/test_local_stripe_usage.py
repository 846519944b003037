"""Meters at the local Stripe: what is accepted, what counts, and what is reported later."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import stripe as library

from tests.local_stripe import Shop, advance, at, control, open_shop, wait_until_busy

NINE, TEN = at("2026-11-16 09:00"), at("2026-11-16 10:00")
DAY = 86_400


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def test_summaries_are_late_and_then_right(shop: Shop) -> None:
    owner, other = shop.customer(), shop.customer()
    shop.use(owner, 7)
    assert shop.used(owner) == []
    advance(shop.local, 3)
    assert shop.used(owner) == [(at("2026-11-01 00:00"), 7)]
    assert shop.used(other) == []


def test_of_an_hour_the_latest_event_counts_and_hours_are_summed(shop: Shop) -> None:
    customer = shop.customer()
    shop.use(customer, 10, push=1)
    shop.use(customer, 30, push=3)
    shop.use(customer, 20, push=2)  # the last to come, not the latest
    shop.use(customer, 5, "2026-11-16 10:00")
    advance(shop.local, 3)
    assert shop.used(customer) == [(at("2026-11-01 00:00"), 35)]
    hourly = shop.used(customer, value_grouping_window="hour")
    assert hourly == [(TEN, 5), (NINE, 30)]
    shop.use(customer, 31, push=4)
    assert shop.used(customer, value_grouping_window="hour") == hourly  # till it has its effect
    advance(shop.local, 3)
    assert shop.used(customer, value_grouping_window="hour") == [(TEN, 5), (NINE, 31)]
    daily = shop.used(customer, value_grouping_window="day")
    assert daily == [(at("2026-11-16 00:00"), 36)]


def test_the_end_of_a_summary_is_exclusive(shop: Shop) -> None:
    customer = shop.customer()
    shop.use(customer, 1)
    shop.use(customer, 2, "2026-11-16 10:00")
    advance(shop.local, 3)
    assert shop.used(customer, start_time=NINE, end_time=TEN) == [(NINE, 1)]
    assert shop.used(customer, start_time=TEN, end_time=TEN + 3_600) == [(TEN, 2)]
    for bad in ({"start_time": NINE + 1}, {"end_time": NINE - 3_600, "start_time": NINE}):
        with pytest.raises(library.InvalidRequestError):
            shop.used(customer, **bad)


def test_an_old_timestamp_does_not_bring_a_new_total(shop: Shop) -> None:
    customer = shop.customer()
    shop.use(customer, 10, push=1)
    shop.use(customer, 11, push=1)
    advance(shop.local, 3)
    assert shop.used(customer)[0][1] == 10


@pytest.mark.parametrize(
    ("age", "accepted"),
    [(35 * DAY - 60, True), (35 * DAY + 60, False), (-240, True), (-360, False)],
)
def test_events_are_of_the_last_35_days_and_the_next_5_minutes(
    shop: Shop, age: int, accepted: bool
) -> None:
    event: Any = {
        "event_name": "predictions",
        "payload": {"stripe_customer_id": shop.customer(), "value": "1"},
        "timestamp": shop.local.world.now() - age,
    }
    if accepted:
        assert shop.client.v1.billing.meter_events.create(event).timestamp == event["timestamp"]
        return
    with pytest.raises(library.InvalidRequestError) as refused:
        shop.client.v1.billing.meter_events.create(event)
    assert (refused.value.http_status, refused.value.param) == (400, "timestamp")


def test_an_identifier_is_used_once_in_24_hours(shop: Shop) -> None:
    event: Any = {
        "event_name": "predictions",
        "payload": {"stripe_customer_id": shop.customer(), "value": "1"},
        "identifier": "one",
    }
    events = shop.client.v1.billing.meter_events
    events.create(event)
    advance(shop.local, DAY - 60)
    with pytest.raises(library.InvalidRequestError, match="already exists"):
        events.create(event)
    advance(shop.local, 61)
    events.create(event)


def test_a_customer_is_metered_by_one_event_at_a_time(shop: Shop) -> None:
    owner, other = shop.customer(), shop.customer()
    slow = {"kind": "slow", "path": "/v1/billing/meter_events", "seconds": 0.5, "times": 1}
    control(shop.local, "POST", "failures", slow)
    first = threading.Thread(target=shop.use, args=(owner, 1))
    first.start()
    wait_until_busy(shop)
    shop.use(other, 1)
    with pytest.raises(library.RateLimitError):
        shop.use(owner, 2, push=1)
    first.join()
    shop.use(owner, 2, push=1)
    advance(shop.local, 3)
    assert shop.used(owner)[0][1] == 2


def destination(shop: Shop) -> Any:
    params: Any = {
        "name": "meter errors",
        "type": "webhook_endpoint",
        "event_payload": "thin",
        "enabled_events": [
            "v1.billing.meter.error_report_triggered",
            "v1.billing.meter.no_meter_found",
        ],
        "webhook_endpoint": {"url": shop.receiver.url},
        "include": ["webhook_endpoint.signing_secret"],
    }
    return shop.client.v2.core.event_destinations.create(params)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"stripe_customer_id": "cus_nobody", "value": "1"}, "meter_event_customer_not_found"),
        ({"value": "1"}, "meter_event_no_customer_defined"),
        ({"value": "1.5"}, "meter_event_invalid_value"),
        ({"value": "many"}, "meter_event_invalid_value"),
        ({}, "meter_event_invalid_value"),
    ],
)
def test_what_is_wrong_with_a_payload_is_reported_later(
    shop: Shop, payload: dict[str, str], code: str
) -> None:
    secret = destination(shop).webhook_endpoint.signing_secret
    customer = shop.customer()
    if code == "meter_event_invalid_value":
        payload = {"stripe_customer_id": customer, **payload}
    sent: Any = {"event_name": "predictions", "payload": payload, "identifier": "the-bad-one"}
    shop.client.v1.billing.meter_events.create(sent)
    advance(shop.local, 29)
    assert "v1.billing.meter.error_report_triggered" not in shop.receiver.types()
    advance(shop.local, 2)

    signature, body = next(p for p in shop.receiver.posts if b"error_report_triggered" in p[1])
    thin: Any = shop.client.parse_event_notification(body, signature, secret)
    assert "data" not in json.loads(body)
    assert thin.fetch_related_object().id == shop.meter
    reason = thin.fetch_event().data.reason
    assert reason.error_count == 1
    assert reason.error_types[0].code == code
    assert reason.error_types[0].sample_errors[0].request.identifier == "the-bad-one"
    assert shop.used(customer) == []


def test_an_event_of_no_meter_is_reported_later(shop: Shop) -> None:
    secret = destination(shop).webhook_endpoint.signing_secret
    payload = {"stripe_customer_id": shop.customer(), "value": "1"}
    sent: Any = {"event_name": "unheard_of", "payload": payload}
    shop.client.v1.billing.meter_events.create(sent)
    shop.client.v1.billing.meter_events.create(sent)
    advance(shop.local, 31)
    signature, body = next(p for p in shop.receiver.posts if b"no_meter_found" in p[1])
    thin: Any = shop.client.parse_event_notification(body, signature, secret)
    assert thin.fetch_event().data.reason.error_count == 2
    listed = shop.client.v2.core.events.list({"limit": 1})
    assert [one.id for one in listed.data] == [thin.id]


def test_an_inactive_meter_takes_nothing(shop: Shop) -> None:
    destination(shop)
    customer = shop.customer()
    meters = shop.client.v1.billing.meters
    assert meters.deactivate(shop.meter).status == "inactive"
    shop.use(customer, 1)
    advance(shop.local, 31)
    assert meters.reactivate(shop.meter).status == "active"
    assert shop.used(customer) == []
    assert "v1.billing.meter.error_report_triggered" in shop.receiver.types()
    assert [m.id for m in meters.list({"status": "active"}).data] == [shop.meter]
    assert meters.update(shop.meter, {"display_name": "Calls"}).display_name == "Calls"


def test_two_meters_have_two_names(shop: Shop) -> None:
    params: Any = {
        "display_name": "Again",
        "event_name": "predictions",
        "default_aggregation": {"formula": "sum"},
        "event_time_window": "hour",
    }
    with pytest.raises(library.InvalidRequestError, match="exists already"):
        shop.client.v1.billing.meters.create(params)
    with pytest.raises(library.APIError) as refused:
        shop.client.v1.billing.meters.create({**params, "default_aggregation": {"formula": "last"}})
    assert refused.value.http_status == 501


def test_event_destinations_are_kept_and_hide_their_secrets(shop: Shop) -> None:
    destinations = shop.client.v2.core.event_destinations
    made = destination(shop)
    assert "url" not in made.webhook_endpoint
    found: Any = destinations.list({"include": ["webhook_endpoint.url"]}).data
    assert [(one.id, one.webhook_endpoint.url) for one in found] == [(made.id, shop.receiver.url)]
    assert "signing_secret" not in found[0].webhook_endpoint
    changed = destinations.update(made.id, {"name": "new", "metadata": {"a": "1"}})
    assert (changed.name, changed.metadata and changed.metadata.to_dict()) == ("new", {"a": "1"})
    assert destinations.disable(made.id).status == "disabled"
    assert destinations.enable(made.id).status == "enabled"
    secrets = control(shop.local, "GET", "secrets")
    assert secrets[made.id] == made.webhook_endpoint.signing_secret
    destinations.delete(made.id)
    with pytest.raises(library.StripeError):
        destinations.retrieve(made.id)
