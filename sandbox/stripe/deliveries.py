"""How an event gets to its receivers: signed, and tried again for three days."""

import hashlib
import hmac
import json
import time
import urllib.request
from collections.abc import Callable

from sandbox.stripe.answers import render
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import World

# After each failed attempt, in seconds: the last one comes nearly three days after the first.
WAITS = (60, 300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200)
TIMEOUT_SECONDS = 10


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is a failed delivery."""

    def redirect_request(self, *_: object) -> None:
        return None


OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)


def send(world: World, event: Json) -> None:
    """Have the event delivered to each endpoint that wants it."""
    for endpoint in world.store.all("webhook_endpoint"):
        wanted = {"*", event["type"]} & set(endpoint["enabled_events"])
        if wanted and endpoint["status"] == "enabled":
            event["pending_webhooks"] += 1
            schedule(world, event, endpoint)


def schedule(world: World, event: Json, endpoint: Json) -> None:
    """Note the delivery, as often, as late or as never as the failures on command want it."""
    if world.failures.happens("webhooks_lost"):
        return
    late = world.failures.happens("webhooks_reordered")
    copies = 2 if world.failures.happens("webhooks_doubled") else 1
    for _ in range(copies):
        delivery = {
            "id": new_id("delivery"),
            "object": "delivery",
            "event": event["id"],
            "event_kind": event["object"],
            "endpoint": endpoint["id"],
            "endpoint_kind": endpoint["object"],
            "attempts": 0,
        }
        world.store.put(delivery)
        due = world.now() + (world.failures.scatter(late) if late else 0)
        world.agenda.add(due, "deliveries.attempt", delivery["id"])


def attempt(world: World, id: str) -> Callable[[], None] | None:
    """What is to be done without the lock: post it, and note how that went."""
    delivery = world.fetch("delivery", id)
    endpoint = world.store.get(delivery["endpoint_kind"], delivery["endpoint"])
    event = world.store.get(delivery["event_kind"], delivery["event"])
    if not endpoint or not event or endpoint["status"] != "enabled":
        world.store.delete("delivery", id)
        return None
    if ends := world.failures.outage_ends():
        world.agenda.add(ends, "deliveries.attempt", id)
        return None
    url = endpoint.get("url") or endpoint["_url"]
    body = json.dumps(payload(world, event), indent=2).encode()
    secret = endpoint["_secret"]

    def errand() -> None:
        arrived = post(url, body, secret)
        with world.lock:
            note(world, delivery, event, arrived)

    return errand


def payload(world: World, event: Json) -> Json:
    """A snapshot whole; of a thin event all but its data, which is to be fetched."""
    sent = render(world, event)
    if event["object"] == "v2.core.event":
        del sent["data"]
    return sent


def post(url: str, body: bytes, secret: str) -> bool:
    """Whether a 2xx came back."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (the local Stripe)",
        "Stripe-Signature": signature(body, secret, int(time.time())),
    }
    request = urllib.request.Request(url, body, headers, method="POST")
    try:
        with OPENER.open(request, timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def signature(body: bytes, secret: str, moment: int) -> str:
    """The moment is real time, however far the clock was advanced: it tells the age of the post."""
    signed = f"{moment}.".encode() + body
    return f"t={moment},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def note(world: World, delivery: Json, event: Json, arrived: bool) -> None:
    if arrived:
        world.store.delete("delivery", delivery["id"])
        if event.get("pending_webhooks"):
            event["pending_webhooks"] -= 1
            world.store.put(event)
        world.delivered(payload(world, event))
        return
    wait = dict(enumerate(WAITS)).get(delivery["attempts"])
    delivery["attempts"] += 1
    world.store.put(delivery)
    if wait is None:
        world.store.delete("delivery", delivery["id"])
    else:
        world.agenda.add(world.now() + wait, "deliveries.attempt", delivery["id"])
