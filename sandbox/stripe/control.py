"""Orders of a test or of a person, under /_sandbox/: the clock, failures, the bank's part."""

import json
import re
from collections.abc import Callable

from sandbox.stripe import disputes, duties
from sandbox.stripe.answers import public
from sandbox.stripe.errors import Refusal, invalid, unknown
from sandbox.stripe.exchange import Reply, Request, refused, written
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

Order = Callable[[World, Json, str], Json]


def read_clock(world: World, wish: Json, id: str) -> Json:
    return {"now": world.now()}


def move_clock(world: World, wish: Json, id: str) -> Json:
    """`{"advance": seconds}` or `{"to": timestamp}`: all that falls due on the way is done, and
    each webhook delivered, before this is answered. By 0 seconds, what is due now.
    """
    now = world.clock.running()
    seconds = int(wish["to"]) - now if "to" in wish else int(wish["advance"])
    if seconds < 0:
        raise invalid("The clock does not go back.")
    duties.advance(world, seconds)
    return {"now": world.now()}


def order_failure(world: World, wish: Json, id: str) -> Json:
    """See `failures.Failure`: `{"kind": "error", "path": "/v1/invoices", "times": 2}`."""
    with world.lock:
        world.failures.order(wish)
    return {}


def clear_failures(world: World, wish: Json, id: str) -> Json:
    with world.lock:
        world.failures.clear()
    return {}


def show_secrets(world: World, wish: Json, id: str) -> Json:
    """The signing secret of each webhook endpoint and event destination, as the Dashboard shows."""
    kinds = ("webhook_endpoint", "v2.core.event_destination")
    with world.lock:
        return {row["id"]: row["_secret"] for kind in kinds for row in world.store.all(kind)}


def open_dispute(world: World, wish: Json, id: str) -> Json:
    with world.lock:
        return public(world, disputes.open_(world, wish["charge"]))


def close_dispute(world: World, wish: Json, id: str) -> Json:
    with world.lock:
        return public(world, disputes.close(world, id, won=bool(wish["won"])))


ORDERS: list[tuple[str, str, Order]] = [
    ("GET", "clock", read_clock),
    ("POST", "clock", move_clock),
    ("POST", "failures", order_failure),
    ("DELETE", "failures", clear_failures),
    ("GET", "secrets", show_secrets),
    ("POST", "disputes", open_dispute),
    ("POST", "disputes/([^/]+)/close", close_dispute),
]


def answer(world: World, request: Request) -> Reply:
    """JSON in, JSON out; nobody has to sign in."""
    try:
        return Reply(200, written(carried_out(world, request)))
    except Refusal as refusal:
        return refused(refusal, "")
    except (ValueError, KeyError, TypeError) as error:
        return refused(invalid(f"That order cannot be read: {error!r}"), "")
    finally:
        with world.lock:
            world.save()


def carried_out(world: World, request: Request) -> Json:
    for method, path, order in ORDERS:
        match = re.fullmatch(f"/_sandbox/{path}", request.path)
        if match and method == request.method:
            return order(world, json.loads(request.body or b"{}"), "".join(match.groups()))
    raise unknown(f"{request.method} {request.path}")
