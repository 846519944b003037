"""Meters, their events and their summaries."""

import re

from sandbox.stripe import thin, usage
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import choice, integer, metadata, text
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
EVENT = {"event_name": text, "payload": metadata, "identifier": text, "timestamp": integer}
SUMMARIES = {
    "customer": text,
    "start_time": integer,
    "end_time": integer,
    "value_grouping_window": choice("hour", "day"),
}

OLDEST_SECONDS = 35 * 86_400
NEWEST_SECONDS = 5 * 60
IDENTIFIER_SECONDS = 86_400
WHOLE = re.compile(r"-?\d{1,15}")


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


def create_event(world: World, call: Call) -> Json:
    """Accepted is not counted: what is wrong with the payload is reported later."""
    timestamp = call.params.get("timestamp", world.now())
    check_age(world, timestamp)
    identifier = call.params.get("identifier") or new_id("mev", 32)
    claim(world, identifier)
    process(world, call.params["event_name"], call.params["payload"], timestamp, identifier)
    return {
        "object": "billing.meter_event",
        "created": world.now(),
        "event_name": call.params["event_name"],
        "identifier": identifier,
        "livemode": False,
        "payload": call.params["payload"],
        "timestamp": timestamp,
    }


def place_of(world: World, call: Call) -> str:
    """The customer and the meter, of whose events Stripe takes one at a time."""
    name, payload = call.params["event_name"], call.params["payload"]
    known = [meter for meter in world.store.all("billing.meter") if meter["event_name"] == name]
    keys = [meter["customer_mapping"]["event_payload_key"] for meter in known]
    return f"meter {name} {[payload.get(key) for key in keys]}"


def check_age(world: World, timestamp: int) -> None:
    if timestamp < world.now() - OLDEST_SECONDS:
        raise invalid("The timestamp is more than 35 days in the past.", "timestamp")
    if timestamp > world.now() + NEWEST_SECONDS:
        raise invalid("The timestamp is more than 5 minutes in the future.", "timestamp")


def claim(world: World, identifier: str) -> None:
    """Refuse an identifier that was used in the last 24 hours; forget those that are older."""
    horizon = world.now() - IDENTIFIER_SECONDS
    while (oldest := world.store.oldest("identifier")) and oldest["at"] <= horizon:
        world.store.delete("identifier", oldest["id"])
    if world.store.get("identifier", identifier):
        message = f"An event already exists with identifier {identifier}."
        raise invalid(message, "identifier", "resource_already_exists")
    world.store.put({"object": "identifier", "id": identifier, "at": world.now()})


def process(world: World, name: str, payload: Json, timestamp: int, identifier: str) -> None:
    meters = [meter for meter in world.store.all("billing.meter") if meter["event_name"] == name]
    if not meters:
        thin.report(world, None, "no_meter", f"There is no meter with the name {name}.", identifier)
        return
    meter = meters[0]
    customer = payload.get(meter["customer_mapping"]["event_payload_key"])
    value = payload.get(meter["value_settings"]["event_payload_key"])
    if fault := fault_of(world, meter, customer, value):
        thin.report(world, meter["id"], *fault, identifier)
    else:
        usage.record(world, meter, str(customer), timestamp, int(str(value)))


def fault_of(
    world: World, meter: Json, customer: str | None, value: str | None
) -> tuple[str, str] | None:
    """The code and the message of what is wrong with an event, if anything is."""
    if meter["status"] != "active":
        return "archived_meter", f"The meter {meter['id']} is not active."
    if not customer:
        return "meter_event_no_customer_defined", "The payload names no customer."
    known = world.store.get("customer", customer)
    if not known or known.get("deleted"):
        return "meter_event_customer_not_found", f"There is no customer {customer}."
    if not WHOLE.fullmatch(value or ""):
        return "meter_event_invalid_value", f"The value {value} is not a whole number."
    return None


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
