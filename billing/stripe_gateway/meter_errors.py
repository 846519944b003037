"""Stripe's reports on meter events that it took and could not count."""

from typing import Any

from billing.stripe_gateway.client import PAGE, asks_stripe, v2
from billing.stripe_gateway.reading import moment
from billing.stripe_gateway.values import MeterErrors

METER_ERRORS = ("v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found")


@asks_stripe
def list_meter_errors() -> list[MeterErrors]:
    """The newest reports on events that Stripe took and could not count."""
    found = v2().core.events.list({"types": list(METER_ERRORS), "limit": PAGE})
    return [meter_errors_of(event.to_dict()) for event in found.data]


@asks_stripe
def retrieve_meter_errors(event_id: str) -> MeterErrors:
    """The report that a thin event tells of."""
    return meter_errors_of(v2().core.events.retrieve(event_id).to_dict())


def meter_errors_of(event: dict[str, Any]) -> MeterErrors:
    about = event["data"]
    return MeterErrors(
        event_id=event["id"],
        type=event["type"],
        count=about["reason"]["error_count"],
        summary=", ".join(
            f"{one['error_count']} × {one['code']}: {one['sample_errors'][0]['error_message']}"
            for one in about["reason"]["error_types"]
        ),
        since=moment(about["validation_start"]),
        until=moment(about["validation_end"]),
    )
