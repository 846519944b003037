"""Meters, and summaries of what they have counted."""

from sandbox.stripe import usage
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import choice, integer, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {
    "display_name": text,
    "event_name": text,
    # Both immutable; other formulas and meters that count each event are not needed here.
    "default_aggregation": {"formula": choice("sum")},
    "event_time_window": choice("hour", "day"),
    "customer_mapping": {"type": choice("by_id"), "event_payload_key": text},
    "value_settings": {"event_payload_key": text},
}
UPDATE = {"display_name": text}
LIST = {"status": choice("active", "inactive")}
SUMMARIES = {
    "customer": text,
    "start_time": integer,
    "end_time": integer,
    "value_grouping_window": choice("hour", "day"),
}


def create(world: World, call: Call) -> Json:
    name = call.params["event_name"]
    if any(meter["event_name"] == name for meter in world.store.all("billing.meter")):
        raise invalid(f"A meter with the event name {name} exists already.", "event_name")
    meter = {
        "id": new_id("mtr"),
        "object": "billing.meter",
        "created": world.now(),
        "customer_mapping": call.params.get(
            "customer_mapping", {"type": "by_id", "event_payload_key": "stripe_customer_id"}
        ),
        "default_aggregation": call.params["default_aggregation"],
        "display_name": call.params["display_name"],
        "event_name": name,
        "event_time_window": call.params["event_time_window"],
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": world.now(),
        "value_settings": call.params.get("value_settings", {"event_payload_key": "value"}),
    }
    world.store.put(meter)
    emit(world, "billing.meter.created", meter)
    return meter


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("billing.meter", call.id)


def update(world: World, call: Call) -> Json:
    meter = world.fetch("billing.meter", call.id)
    with updating(world, meter, "billing.meter.updated"):
        meter["display_name"] = call.params.get("display_name", meter["display_name"])
    return meter


def list_(world: World, call: Call) -> Json:
    status = call.params.get("status")
    rows = [m for m in world.store.all("billing.meter") if status in (None, m["status"])]
    return page(world, "/v1/billing/meters", rows, call.params)


def deactivate(world: World, call: Call) -> Json:
    meter = world.fetch("billing.meter", call.id)
    with updating(world, meter, "billing.meter.deactivated"):
        meter["status"] = "inactive"
        meter["status_transitions"] = {"deactivated_at": world.now()}
    return meter


def reactivate(world: World, call: Call) -> Json:
    meter = world.fetch("billing.meter", call.id)
    with updating(world, meter, "billing.meter.reactivated"):
        meter["status"] = "active"
        meter["status_transitions"] = {"deactivated_at": None}
    return meter


def summaries(world: World, call: Call) -> Json:
    """Windows with usage, the newest first; or one summary of it all."""
    meter = world.fetch("billing.meter", call.id)
    customer = world.named("customer", call.params["customer"], "customer")
    start, end = call.params["start_time"], call.params["end_time"]
    grouping = call.params.get("value_grouping_window")
    check_range(start, end, usage.WINDOWS[grouping] if grouping else 60)
    step = usage.WINDOWS[grouping] if grouping else max(end - start, 1)
    totals: dict[int, int] = {}
    for begin, value in usage.windows(world, meter, customer["id"], start, end):
        group = begin - (begin - start) % step
        totals[group] = totals.get(group, 0) + value
    rows = [summary(meter, customer, begin, step, value) for begin, value in totals.items()]
    return page(world, f"/v1/billing/meters/{meter['id']}/event_summaries", rows, call.params)


def check_range(start: int, end: int, step: int) -> None:
    for name, moment in (("start_time", start), ("end_time", end)):
        if moment % step:
            raise invalid(f"{name} must be aligned with {step} seconds.", name)
    if end <= start:
        raise invalid("end_time must be after start_time.", "end_time")


def summary(meter: Json, customer: Json, begin: int, step: int, value: int) -> Json:
    """Its id names what it summarises, so that it is the same whenever it is asked for."""
    return {
        "id": f"mtrusg_{meter['id'][4:]}{customer['id'][4:]}{begin}x{step}",
        "object": "billing.meter_event_summary",
        "aggregated_value": value,
        "end_time": begin + step,
        "livemode": False,
        "meter": meter["id"],
        "start_time": begin,
    }
