"""Event destinations of version 2, for thin events; what is said of webhooks goes for them, too."""

from sandbox.stripe.errors import unknown
from sandbox.stripe.shapes import choice, integer, merged, metadata, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.thin import moment, paged
from sandbox.stripe.world import Call, World

SHOWN = [choice("webhook_endpoint.signing_secret", "webhook_endpoint.url")]
CREATE = {
    "name": text,
    "description": text,
    "type": choice("webhook_endpoint"),
    "event_payload": choice("thin"),
    "enabled_events": [text],
    "events_from": [choice("@self", "self")],
    "webhook_endpoint": {"url": text},
    "metadata": metadata,
    "include": SHOWN,
}
UPDATE = {
    "name": text,
    "description": text,
    "enabled_events": [text],
    "webhook_endpoint": {"url": text},
    "metadata": metadata,
    "include": SHOWN,
}
RETRIEVE = {"include": SHOWN}
LIST = {"limit": integer, "page": text, "include": SHOWN}
TYPES = ("v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found")


def create(world: World, call: Call) -> Json:
    """The one answer that shows the secret, if it is asked for."""
    check_types(call.params["enabled_events"])
    destination = {
        "id": new_id("ed_test"),
        "object": "v2.core.event_destination",
        "created": moment(world.now()),
        "description": call.params.get("description", ""),
        "enabled_events": call.params["enabled_events"],
        "event_payload": call.params["event_payload"],
        "events_from": call.params.get("events_from", ["@self"]),
        "livemode": False,
        "metadata": call.params.get("metadata", {}),
        "name": call.params["name"],
        "status": "enabled",
        "type": call.params["type"],
        "updated": moment(world.now()),
        "webhook_endpoint": {},
        "_url": call.params["webhook_endpoint"]["url"],
        "_secret": new_id("whsec", 32),
    }
    world.store.put(destination)
    return shown(destination, call, "webhook_endpoint.signing_secret")


def shown(destination: Json, call: Call, *secret: str) -> Json:
    """With its address, and on creation its secret, where the request includes them.

    One that is not for webhooks has neither.
    """
    if destination["type"] != "webhook_endpoint":
        return destination
    include = call.params.get("include", [])
    endpoint: Json = {}
    if "webhook_endpoint.url" in include:
        endpoint["url"] = destination["_url"]
    if set(secret) & set(include):
        endpoint["signing_secret"] = destination["_secret"]
    return {**destination, "webhook_endpoint": endpoint}


def check_types(types: list[str]) -> None:
    for type in types:
        if type not in TYPES:
            raise unknown(f"the thin event {type}")


def retrieve(world: World, call: Call) -> Json:
    return shown(world.fetch("v2.core.event_destination", call.id), call)


def list_(world: World, call: Call) -> Json:
    rows = [shown(row, call) for row in world.store.all("v2.core.event_destination")[::-1]]
    return paged(world, "/v2/core/event_destinations", rows, call.params)


def update(world: World, call: Call) -> Json:
    destination = world.fetch("v2.core.event_destination", call.id)
    changes = {k: v for k, v in call.params.items() if k not in ("include", "webhook_endpoint")}
    check_types(changes.get("enabled_events", []))
    if "metadata" in changes:
        changes["metadata"] = merged(destination["metadata"], changes["metadata"])
    if "webhook_endpoint" in call.params:
        changes["_url"] = call.params["webhook_endpoint"]["url"]
    destination |= {**changes, "updated": moment(world.now())}
    return shown(world.store.put(destination), call)


def enable(world: World, call: Call) -> Json:
    return switched(world, call, "enabled")


def disable(world: World, call: Call) -> Json:
    return switched(world, call, "disabled")


def switched(world: World, call: Call, status: str) -> Json:
    destination = world.fetch("v2.core.event_destination", call.id)
    destination |= {"status": status, "updated": moment(world.now())}
    return shown(world.store.put(destination), call)


def delete(world: World, call: Call) -> Json:
    world.fetch("v2.core.event_destination", call.id)
    world.store.delete("v2.core.event_destination", call.id)
    return {"id": call.id, "object": "v2.core.event_destination"}
