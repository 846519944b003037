"""Webhook endpoints: where events are sent."""

from sandbox.stripe.answers import page, render
from sandbox.stripe.shapes import boolean, clearable, merged, metadata, off, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {
    "url": text,
    "enabled_events": [text],
    "description": clearable(text),
    "metadata": metadata,
    "api_version": text,
    "connect": off,
}
UPDATE = {
    "url": text,
    "enabled_events": [text],
    "description": clearable(text),
    "metadata": metadata,
    "disabled": boolean,
}


def create(world: World, call: Call) -> Json:
    """The one answer that shows the secret."""
    endpoint = {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": call.params.get("api_version"),
        "application": None,
        "created": world.now(),
        "description": call.params.get("description"),
        "enabled_events": call.params["enabled_events"],
        "livemode": False,
        "metadata": call.params.get("metadata", {}),
        "status": "enabled",
        "url": call.params["url"],
        "_secret": new_id("whsec", 32),
    }
    world.store.put(endpoint)
    return {**render(world, endpoint), "secret": endpoint["_secret"]}


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("webhook_endpoint", call.id)


def list_(world: World, call: Call) -> Json:
    return page(world, "/v1/webhook_endpoints", world.store.all("webhook_endpoint"), call.params)


def update(world: World, call: Call) -> Json:
    endpoint = world.fetch("webhook_endpoint", call.id)
    changes = dict(call.params)
    changes.pop("expand", None)
    if "disabled" in changes:
        endpoint["status"] = "disabled" if changes.pop("disabled") else "enabled"
    if "metadata" in changes:
        changes["metadata"] = merged(endpoint["metadata"], changes["metadata"])
    endpoint |= changes
    return world.store.put(endpoint)


def delete(world: World, call: Call) -> Json:
    world.fetch("webhook_endpoint", call.id)
    world.store.delete("webhook_endpoint", call.id)
    return {"id": call.id, "object": "webhook_endpoint", "deleted": True}
