"""What the OpenAPI document says of account and usage."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from mnistapi.openapi import closed, problem_responses

COUNT = {"type": "integer", "minimum": 0}
DAY = {"type": "string", "format": "date"}
COUNTS = {"calls": COUNT, "units": COUNT, "errors": COUNT}
LIVEMODE = {"type": "boolean", "description": "The mode of the key that asks, and of the numbers."}

ACCOUNT: dict[str, Any] = {
    "operation_id": "account",
    "tags": ["account"],
    "summary": "The account and the key that asks",
    "request": None,
    "responses": {
        (200, "application/json"): closed(
            email={"type": "string", "format": "email"},
            livemode=LIVEMODE,
            key=closed(
                name={"type": "string"},
                prefix={"type": "string"},
                last_four={"type": "string"},
                expires_at={"type": ["string", "null"], "format": "date-time"},
            ),
            period={"type": "string", "examples": ["2026-11"]},
            period_units=COUNT,
        ),
        **problem_responses(400, 401, 405, 500, 503),
    },
}

USAGE: dict[str, Any] = {
    "operation_id": "usage",
    "tags": ["account"],
    "summary": "Calls, units and errors by day",
    "description": "Days are in UTC. The numbers are those of all your keys of this mode.",
    "parameters": [
        OpenApiParameter(
            "from", OpenApiTypes.DATE, description="Without it, the first of the month."
        ),
        OpenApiParameter("to", OpenApiTypes.DATE, description="The day behind the last one."),
    ],
    "request": None,
    "responses": {
        (200, "application/json"): closed(
            livemode=LIVEMODE,
            **{"from": DAY, "to": DAY},
            **COUNTS,
            days={"type": "array", "items": closed(date=DAY, **COUNTS)},
        ),
        **problem_responses(400, 401, 405, 422, 500, 503),
    },
}
