"""What meters have counted: pre-aggregated windows, of which only the latest event counts."""

from collections.abc import Iterator

from sandbox.stripe.store import Json
from sandbox.stripe.world import World

WINDOWS = {"hour": 3_600, "day": 86_400}
# Events take effect this long after they were accepted, by the clock here: summaries and
# invoices do not know of them before.
LAG_SECONDS = 3


def record(world: World, meter: Json, customer: str, timestamp: int, value: int) -> None:
    """Note an event. What it overwrites is forgotten once it has taken effect itself."""
    start = timestamp - timestamp % WINDOWS[meter["event_time_window"]]
    id = f"{meter['id']} {customer} {start}"
    window = world.store.get("usage", id) or {"object": "usage", "id": id, "events": []}
    settle(world, window)
    event = {"timestamp": timestamp, "value": value, "effective": world.now() + LAG_SECONDS}
    window["events"].append(event)
    world.store.put(window)


def settle(world: World, window: Json) -> None:
    counts = counting(world, window)
    waiting = [event for event in window["events"] if event["effective"] > world.now()]
    window["events"] = [*([counts] if counts else []), *waiting]


def counting(world: World, window: Json) -> Json | None:
    """The event that counts: the latest by its timestamp of those that have taken effect.

    Of two with one timestamp it is the first. Stripe promises neither, so nobody may build on it:
    whoever sends a new total under an old timestamp finds the old total here.
    """
    effective = [event for event in window["events"] if event["effective"] <= world.now()]
    return max(effective, key=lambda event: event["timestamp"], default=None)


def total(world: World, meter: Json, customer: str, start: int, end: int) -> int:
    """The sum over the windows that begin in [start, end)."""
    return sum(value for _, value in windows(world, meter, customer, start, end))


def windows(
    world: World, meter: Json, customer: str, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """The start and the value of each window in [start, end) for which something has counted."""
    size = WINDOWS[meter["event_time_window"]]
    for begin in range(start - start % size, end, size):
        window = world.store.get("usage", f"{meter['id']} {customer} {begin}")
        event = window and counting(world, window)
        if event:
            yield begin, event["value"]
