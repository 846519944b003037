"""Snapshot events: what happened, with the object as it was then, for webhooks and for a poll."""

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.stripe import API_VERSION, deliveries
from sandbox.stripe.answers import page, render
from sandbox.stripe.errors import invalid, no_such
from sandbox.stripe.shapes import boolean, span, text, within
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

RETENTION_SECONDS = 30 * 86_400
MOST_TYPES = 20

LIST = {"type": text, "types": [text], "created": span, "delivery_success": boolean}


def emit(world: World, type: str, row: Json, previous: Json | None = None) -> None:
    """Note the event and send it to each endpoint that wants its type."""
    data = {"object": render(world, row)}
    if previous is not None:
        data["previous_attributes"] = previous
    event = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": world.now(),
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": world.cause.request, "idempotency_key": world.cause.idempotency_key},
        "type": type,
    }
    world.store.put(event)
    deliveries.send(world, event)


@contextmanager
def updating(world: World, row: Json, type: str) -> Iterator[None]:
    """Change the object inside: it is saved, and if anything changed, the event is emitted."""
    before = render(world, row)
    yield
    if "updated" in row:
        row["updated"] = world.now()
    world.store.put(row)
    after = render(world, row)
    previous = {k: v for k, v in before.items() if after.get(k) != v and k != "updated"}
    new = {k: None for k in after if k not in before}
    if previous or new:
        emit(world, type, row, previous | new)


def list_(world: World, call: Call) -> Json:
    types = [*call.params.get("types", []), *filter(None, [call.params.get("type")])]
    if len(types) > MOST_TYPES:
        raise invalid(f"Invalid array: types may have up to {MOST_TYPES} elements.", "types")
    delivered = call.params.get("delivery_success")
    rows = [
        event
        for event in world.store.all("event")
        if kept(world, event)
        and (not types or any(matches(wish, event["type"]) for wish in types))
        and within(call.params.get("created"), event["created"])
        and delivered in (None, event["pending_webhooks"] == 0)
    ]
    return page(world, "/v1/events", rows, call.params)


def matches(wish: str, type: str) -> bool:
    """Whether a type is the one that is asked for, or of the group: `invoice.*`."""
    return wish == type or (wish.endswith("*") and type.startswith(wish[:-1]))


def retrieve(world: World, call: Call) -> Json:
    event = world.fetch("event", call.id)
    if not kept(world, event):
        raise no_such("event", call.id)
    return event


def kept(world: World, event: Json) -> bool:
    return bool(event["created"] > world.now() - RETENTION_SECONDS)
