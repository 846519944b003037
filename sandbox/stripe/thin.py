"""Thin events: what was wrong with meter events, reported a while after they were accepted."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sandbox.stripe import deliveries
from sandbox.stripe.answers import render
from sandbox.stripe.errors import invalid
from sandbox.stripe.shapes import integer, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

LIST = {"limit": integer, "object_id": text, "types": [text], "page": text}
REPORT_SECONDS = 30
SAMPLES = 5
NO_METER = "none"


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def report(world: World, meter: str | None, code: str, message: str, identifier: str) -> None:
    """Put an error down for the next report on this meter; the first one sets its time."""
    about = meter or NO_METER
    if not errors_of(world, about):
        world.agenda.add(world.now() + REPORT_SECONDS, "thin.send_report", about)
    error = {"id": new_id("mtrerr"), "object": "meter_error", "meter": about, "code": code}
    world.store.put({**error, "message": message, "identifier": identifier, "at": world.now()})


def errors_of(world: World, about: str) -> list[Json]:
    return [error for error in world.store.all("meter_error") if error["meter"] == about]


def send_report(world: World, about: str) -> None:
    """One event for all errors since the last report."""
    errors = errors_of(world, about)
    for error in errors:
        world.store.delete("meter_error", error["id"])
    related = {"id": about, "type": "billing.meter", "url": f"/v1/billing/meters/{about}"}
    known = about != NO_METER
    type = "error_report_triggered" if known else "no_meter_found"
    event = {
        "id": new_id("evt_test"),
        "object": "v2.core.event",
        "created": moment(world.now()),
        "data": data_of(world, errors),
        "livemode": False,
        "type": f"v1.billing.meter.{type}",
        **({"related_object": related} if known else {}),
    }
    world.store.put(event)
    for destination in world.store.all("v2.core.event_destination"):
        if destination["status"] == "enabled" and event["type"] in destination["enabled_events"]:
            deliveries.schedule(world, event, destination)


def data_of(world: World, errors: list[Json]) -> Json:
    counts = Counter(error["code"] for error in errors)
    types = [
        {"code": c, "error_count": n, "sample_errors": samples(errors, c)}
        for c, n in counts.items()
    ]
    return {
        "developer_message_summary": f"There are {len(errors)} invalid meter events.",
        "reason": {"error_count": len(errors), "error_types": types},
        "validation_start": moment(errors[0]["at"]),
        "validation_end": moment(world.now()),
    }


def samples(errors: list[Json], code: str) -> list[Any]:
    some = [error for error in errors if error["code"] == code][:SAMPLES]
    return [
        {"error_message": e["message"], "request": {"identifier": e["identifier"]}} for e in some
    ]


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("v2.core.event", call.id)


def list_(world: World, call: Call) -> Json:
    """Newest first; `page` is where the next page begins."""
    types, related = call.params.get("types"), call.params.get("object_id")
    rows = [
        event
        for event in world.store.all("v2.core.event")[::-1]
        if (not types or event["type"] in types)
        and related in (None, event.get("related_object", {}).get("id"))
    ]
    return paged(world, "/v2/core/events", rows, call.params)


def paged(world: World, url: str, rows: list[Json], params: Json) -> Json:
    """A list as version 2 of the API writes it."""
    start, limit = params.get("page", "0"), params.get("limit", 20)
    if not start.isdecimal() or not 1 <= limit <= 100:
        raise invalid("Invalid page or limit", "limit")
    end = int(start) + limit
    following = f"{url}?limit={limit}&page={end}" if end < len(rows) else None
    data = [render(world, row) for row in rows[int(start) : end]]
    return {"data": data, "next_page_url": following, "previous_page_url": None}
