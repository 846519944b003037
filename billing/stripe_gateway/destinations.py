"""The addresses that Stripe sends events to."""

from collections.abc import Sequence

from billing.stripe_gateway.client import API_VERSION, MARK, PAGE, asks_stripe, v1, v2
from billing.stripe_gateway.meter_errors import METER_ERRORS
from billing.stripe_gateway.reading import text
from billing.stripe_gateway.values import Destination


@asks_stripe
def find_or_create_webhook_endpoint(url: str, types: Sequence[str]) -> Destination:
    """For snapshot events of these types, in our version of the API."""
    for endpoint in v1().webhook_endpoints.list({"limit": PAGE}).auto_paging_iter():
        if endpoint.url == url and endpoint.api_version == API_VERSION:
            if set(endpoint.enabled_events) != set(types):
                v1().webhook_endpoints.update(endpoint.id, {"enabled_events": list(types)})
            return Destination(endpoint.id, is_new=False)
    made = v1().webhook_endpoints.create(
        {"url": url, "enabled_events": list(types), "api_version": API_VERSION, "metadata": MARK}
    )
    return Destination(made.id, is_new=True, secret=text(made.secret))


@asks_stripe
def find_or_create_event_destination(url: str) -> Destination:
    """For the thin events that tell of meter events which Stripe could not count."""
    shown = {"include": ["webhook_endpoint.url"], "limit": PAGE}
    for destination in v2().core.event_destinations.list(shown).auto_paging_iter():
        if destination.webhook_endpoint.url == url:
            return Destination(destination.id, is_new=False)
    made = v2().core.event_destinations.create(
        {
            "name": "mnistapi",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": list(METER_ERRORS),
            "webhook_endpoint": {"url": url},
            "metadata": MARK,
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    return Destination(made.id, is_new=True, secret=text(made.webhook_endpoint.signing_secret))
