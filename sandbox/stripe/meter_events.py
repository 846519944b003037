"""Meter events: accepted at once, counted or complained of later."""

import re

from sandbox.stripe import thin, usage
from sandbox.stripe.errors import invalid
from sandbox.stripe.shapes import integer, metadata, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {"event_name": text, "payload": metadata, "identifier": text, "timestamp": integer}
OLDEST_SECONDS = 35 * 86_400
NEWEST_SECONDS = 5 * 60
IDENTIFIER_SECONDS = 86_400
WHOLE = re.compile(r"-?\d{1,15}")


def create(world: World, call: Call) -> Json:
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
