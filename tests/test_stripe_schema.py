"""The checker refuses what Stripe's schema does: else the local Stripe would be held to nothing."""

import copy
from typing import Any

import pytest

from tests import stripe_schema
from tests.stripe_schema import (
    answer_faults,
    documented_faults,
    event_faults,
    request_faults,
    template_of,
    typed_faults,
)

METER: dict[str, Any] = {
    "id": "mtr_1",
    "object": "billing.meter",
    "created": 1,
    "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
    "default_aggregation": {"formula": "sum"},
    "display_name": "Predictions",
    "event_name": "predictions",
    "event_time_window": "hour",
    "livemode": False,
    "status": "active",
    "status_transitions": {"deactivated_at": None},
    "updated": 1,
    "value_settings": {"event_payload_key": "value"},
}
PRICE: dict[str, Any] = {
    "currency": "usd",
    "product": "prod_1",
    "billing_scheme": "tiered",
    "tiers_mode": "graduated",
    "tiers": [{"up_to": "10", "unit_amount": "1"}, {"up_to": "inf", "unit_amount_decimal": "0.5"}],
    "recurring": {"interval": "month", "usage_type": "metered", "meter": "mtr_1"},
}


def changed(original: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """A copy with another value at `a.0.b`; without the field where there is no value."""
    new = copy.deepcopy(original)
    *way, last = path.split(".")
    place: Any = new
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return new


def test_what_is_as_stripe_says_has_no_fault() -> None:
    assert answer_faults("GET", "/v1/billing/meters/mtr_1", 200, METER) == []
    assert request_faults("POST", "/v1/prices", PRICE) == []
    listed = {"object": "list", "data": [METER], "has_more": False, "url": "/v1/billing/meters"}
    assert answer_faults("GET", "/v1/billing/meters", 200, listed) == []


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("surprise", 1, "answer.surprise: unknown"),
        ("value_settings.surprise", 1, "answer.value_settings.surprise: unknown"),
        (
            "value_settings.event_payload_key",
            None,
            "answer.value_settings.event_payload_key: missing",
        ),
        ("display_name", None, "answer.display_name: missing"),
        (
            "default_aggregation.formula",
            "max",
            "answer.default_aggregation.formula: 'max' is not one of",
        ),
        ("event_time_window", "week", "answer.event_time_window: 'week' is not one of"),
        ("created", "1", "answer.created: not a number"),
        ("created", True, "answer.created: not a number"),
        ("livemode", "no", "answer.livemode: not a boolean"),
        ("display_name", 1, "answer.display_name: not a string"),
        ("status_transitions", [], "answer.status_transitions: not an object"),
    ],
)
def test_an_answer_unlike_stripes_is_refused(path: str, value: Any, fault: str) -> None:
    faults = answer_faults("GET", "/v1/billing/meters/mtr_1", 200, changed(METER, path, value))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_what_may_not_be_null_is_refused_and_what_may_is_not() -> None:
    path = "/v1/billing/meters/mtr_1"
    assert answer_faults("GET", path, 200, METER | {"created": None}) == ["answer.created: null"]
    assert answer_faults("GET", path, 200, METER | {"event_time_window": None}) == []


def test_the_objects_in_a_list_and_in_an_event_are_looked_at() -> None:
    wrong = changed(METER, "value_settings.surprise", 1)
    listed = {"object": "list", "data": [wrong], "has_more": False, "url": "/v1/billing/meters"}
    faults = answer_faults("GET", "/v1/billing/meters", 200, listed)
    assert faults == ["answer.data[0].value_settings.surprise: unknown"]
    event = {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1,
        "data": {"object": wrong},
        "livemode": False,
        "pending_webhooks": 0,
        "request": None,
        "type": "billing.meter.created",
    }
    assert event_faults(event) == ["billing.meter.created.value_settings.surprise: unknown"]


def test_an_error_has_the_shape_of_stripes() -> None:
    error = {"error": {"type": "invalid_request_error", "message": "No."}}
    assert answer_faults("GET", "/v1/customers/cus_1", 404, error) == []
    for wrong in (
        {"error": {"message": "No."}},
        {"detail": "No."},
        changed(error, "error.type", "bad"),
    ):
        assert answer_faults("GET", "/v1/customers/cus_1", 404, wrong)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("surprise", "1"),
        ("tiers.1.surprise", "1"),
        ("recurring.surprise", "1"),
        ("currency", None),
        ("recurring.interval", None),
        ("tiers.0.up_to", None),
        ("tiers.0.up_to", "many"),
        ("tiers", {"up_to": "inf"}),
    ],
)
def test_both_sources_refuse_a_wrong_request(path: str, value: Any) -> None:
    wrong = changed(PRICE, path, value)
    assert list(typed_faults("POST", "/v1/prices", wrong))
    assert list(documented_faults("POST", "/v1/prices", wrong))


def test_the_document_alone_knows_the_values_of_most_choices() -> None:
    wrong = changed(PRICE, "tiers_mode", "steep")
    assert not list(typed_faults("POST", "/v1/prices", wrong))
    assert request_faults("POST", "/v1/prices", wrong)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v1/billing/meters/mtr_1/event_summaries", {"start_time": "1", "end_time": "2"}),
        ("/v1/invoices", {"status": "lost"}),
        ("/v1/events", {"created": {"after": "1"}}),
        ("/v1/customers", {"limit": "many"}),
        ("/v2/core/events", {"surprise": "1"}),
    ],
)
def test_a_wrong_query_is_refused(path: str, params: dict[str, Any]) -> None:
    assert request_faults("GET", path, params)


def test_what_the_library_takes_no_longer_is_refused() -> None:
    """The document, which is older, still has it."""
    session = {"mode": "setup", "payment_method_types": ["card"]}
    assert not list(documented_faults("POST", "/v1/checkout/sessions", session))
    assert request_faults("POST", "/v1/checkout/sessions", session) == [
        ".payment_method_types: unknown to SessionCreateParams"
    ]


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/v1/checkout/sessions", "allowed_payment_method_types", ["card"]),
        ("/v1/webhook_endpoints", "api_version", "2026-10-28.endive"),
    ],
)
def test_each_newer_parameter_is_one(path: str, name: str, value: Any) -> None:
    assert ("POST", path, name) in stripe_schema.NEWER
    assert len(stripe_schema.NEWER) == 2
    needed = {"url": "http://x", "enabled_events": ["*"]} if "webhook" in path else {}
    params = {**needed, name: value}
    assert [fault for fault, _ in documented_faults("POST", path, params)] == [name]
    assert request_faults("POST", path, params) == []


def test_version_2_is_held_to_the_classes_of_the_library() -> None:
    event = {
        "id": "evt_test_1",
        "object": "v2.core.event",
        "created": "2026-11-16T10:00:00.000Z",
        "livemode": False,
        "type": "v1.billing.meter.error_report_triggered",
        "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/1"},
        "data": {},
    }
    path = "/v2/core/events/evt_test_1"
    assert answer_faults("GET", path, 200, event) == []
    assert answer_faults("GET", path, 200, changed(event, "surprise", 1))
    assert answer_faults("GET", path, 200, changed(event, "related_object"))
    destination = {
        "id": "ed_1",
        "object": "v2.core.event_destination",
        "webhook_endpoint": {"x": 1},
    }
    faults = answer_faults("GET", "/v2/core/event_destinations/ed_1", 200, destination)
    assert "v2.core.event_destination.name: missing" in faults
    assert "v2.core.event_destination.webhook_endpoint.x: unknown" in faults


def test_what_stripe_does_not_have_is_no_path() -> None:
    assert template_of("/v1/customers/search") == "/v1/customers/search"
    assert template_of("/v1/customers/cus_1") == "/v1/customers/{customer}"
    with pytest.raises(AssertionError):
        template_of("/v1/usage_records")
    with pytest.raises(AssertionError):
        request_faults("POST", "/v1/invoices/upcoming/lines", {})
