"""The addresses that Stripe sends events to."""

from collections.abc import Iterable, Sequence
from typing import Any

from billing.stripe_gateway.client import API_VERSION, MARK, PAGE, asks_stripe, v1, v2
from billing.stripe_gateway.meter_errors import METER_ERRORS
from billing.stripe_gateway.reading import text
from billing.stripe_gateway.values import Destination


@asks_stripe
def find_or_create_webhook_endpoint(url: str, types: Sequence[str]) -> Destination:
    """For snapshot events of these types, in our version of the API; enabled, if it was not."""
    listed = v1().webhook_endpoints.list({"limit": PAGE}).auto_paging_iter()
    found = enabled_first(one for one in listed if one.url == url and is_of_our_version(one))
    if not found:
        return create_webhook_endpoint(url, types)
    endpoint = found[0]
    was_disabled = endpoint.status == "disabled"
    if was_disabled or set(endpoint.enabled_events) != set(types):
        wanted = {"enabled_events": list(types), "disabled": False}
        v1().webhook_endpoints.update(endpoint.id, wanted)
    return Destination(endpoint.id, was_disabled=was_disabled)


def is_of_our_version(endpoint: Any) -> bool:
    return bool(endpoint.api_version == API_VERSION)


def create_webhook_endpoint(url: str, types: Sequence[str]) -> Destination:
    made = v1().webhook_endpoints.create(
        {"url": url, "enabled_events": list(types), "api_version": API_VERSION, "metadata": MARK}
    )
    return Destination(made.id, is_new=True, secret=text(made.secret))


@asks_stripe
def find_or_create_event_destination(url: str) -> Destination:
    """For the thin events that tell of meter events which Stripe could not count; enabled, too."""
    shown = {"include": ["webhook_endpoint.url"], "limit": PAGE}
    listed = v2().core.event_destinations.list(shown).auto_paging_iter()
    found = enabled_first(one for one in listed if is_thin(one) and one.webhook_endpoint.url == url)
    if not found:
        return create_event_destination(url)
    destination = found[0]
    was_disabled = destination.status == "disabled"
    if was_disabled:
        v2().core.event_destinations.enable(destination.id)
    return Destination(destination.id, was_disabled=was_disabled)


def is_thin(destination: Any) -> bool:
    """Sent to an address, which has another destination for snapshots, and not into a cloud."""
    return bool(destination.type == "webhook_endpoint" and destination.event_payload == "thin")


def create_event_destination(url: str) -> Destination:
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


def enabled_first(destinations: Iterable[Any]) -> list[Any]:
    """One that was replaced by hand and disabled stays so, as long as there is the other."""
    return sorted(destinations, key=lambda destination: destination.status != "enabled")
