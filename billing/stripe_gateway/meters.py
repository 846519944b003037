"""The meter, the totals that are sent to it, and what it has counted."""

from functools import cache

from django.conf import settings

from billing.stripe_gateway.client import PAGE, asks_stripe, v1
from billing.stripe_gateway.faults import StripeRefused
from billing.stripe_gateway.values import Summary

METER_EVENT = "predictions"


@asks_stripe
def find_meter() -> str:
    """The id of the active meter that counts predictions; empty if there is none."""
    meters = v1().billing.meters.list({"status": "active", "limit": PAGE})
    for meter in meters.auto_paging_iter():
        if meter.event_name == METER_EVENT:
            return str(meter.id)
    return ""


@asks_stripe
def create_meter() -> str:
    """Of hours, in which the newest event holds: neither can be changed later."""
    meter = v1().billing.meters.create(
        {
            "display_name": "Predictions",
            "event_name": METER_EVENT,
            "default_aggregation": {"formula": "sum"},
            "event_time_window": "hour",
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )
    return str(meter.id)


@asks_stripe
def send_meter_event(customer: str, value: int, timestamp: int) -> None:
    """The units of an hour so far: within an hour the newest timestamp holds.

    Without an identifier: sent again, it says the same.
    """
    v1().billing.meter_events.create(
        {
            "event_name": METER_EVENT,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
            "timestamp": timestamp,
        }
    )


@cache
def meter(key: str, base: str) -> str:
    """The id of our meter, kept for the process: it does not change once it is there."""
    if id := find_meter():
        return id
    raise StripeRefused("There is no meter: run `manage.py stripe_setup`.")


def our_meter() -> str:
    return meter(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@asks_stripe
def hourly_summaries(customer: str, start: int, end: int) -> list[Summary]:
    """What Stripe has counted from `start` on and before `end`, oldest first.

    Both are full hours. Hours without usage are missing, and the newest may not be there yet.
    """
    wanted = {
        "customer": customer,
        "start_time": start,
        "end_time": end,
        "value_grouping_window": "hour",
        "limit": PAGE,
    }
    found = v1().billing.meters.event_summaries.list(our_meter(), wanted).auto_paging_iter()
    summaries = [Summary(one.start_time, one.end_time, int(one.aggregated_value)) for one in found]
    return sorted(summaries, key=lambda summary: summary.start)
