"""Events: read from a webhook, once its signature is checked, or from Stripe's list."""

import json
import time
from collections.abc import Sequence
from typing import Any

import stripe

from billing.stripe_gateway.client import API_VERSION, PAGE, asks_stripe, v1
from billing.stripe_gateway.faults import NotFromStripe
from billing.stripe_gateway.reading import id_of, moment, text
from billing.stripe_gateway.values import Event

TOLERANCE_SECONDS = 300  # of a webhook's age, and of clocks that differ
MOST_TYPES = 20  # that Stripe's list of events can be asked for at once


def verified_event(body: bytes, signature: str, secrets: Sequence[str]) -> Event:
    """The event that Stripe signed with one of our secrets, within the last minutes."""
    if not any(is_signed(body, signature, secret) for secret in secrets):
        raise NotFromStripe("It is not signed with a secret of ours, or not of these minutes.")
    try:
        return read_event(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotFromStripe("It is signed, and no event.") from error


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """The library takes a timestamp of any future; it must be of now, or it could be kept."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError):  # UnicodeDecodeError is one
        return False
    fields = dict(field.split("=", 1) for field in signature.split(","))
    return int(fields["t"]) <= time.time() + TOLERANCE_SECONDS


@asks_stripe
def undelivered_events(types: Sequence[str]) -> list[Event]:
    """Events of these types that some address has not taken, newest first.

    Of the last 30 days: so long Stripe keeps them. It tries to deliver them for three.
    """
    parts = [types[start : start + MOST_TYPES] for start in range(0, len(types), MOST_TYPES)]
    events = [event for part in parts for event in undelivered_events_of(part)]
    return sorted(events, key=lambda event: event.created, reverse=True)


def undelivered_events_of(types: Sequence[str]) -> list[Event]:
    wanted = {"delivery_success": False, "types": list(types), "limit": PAGE}
    found = v1().events.list(wanted).auto_paging_iter()
    return [read_event(event.to_dict()) for event in found]


def read_event(event: dict[str, Any]) -> Event:
    """From its JSON, a snapshot or a thin one."""
    if event["object"] == "v2.core.event":
        return read_thin_event(event)
    if event["object"] != "event":
        raise ValueError
    about = event["data"]["object"]
    return Event(
        id=event["id"],
        type=event["type"],
        created=int(event["created"]),
        livemode=event["livemode"],
        api_version=text(event["api_version"]),
        object_id=text(about.get("id")),
        customer=id_of(about.get("customer")),
        invoice=id_of(about.get("invoice")),
        payment_intent=id_of(about.get("payment_intent")),
    )


def read_thin_event(event: dict[str, Any]) -> Event:
    related = event.get("related_object") or {}
    return Event(
        id=event["id"],
        type=event["type"],
        created=int(moment(event["created"]).timestamp()),
        livemode=event["livemode"],
        api_version=API_VERSION,  # a thin event has no version
        object_id=text(related.get("id")),
    )
