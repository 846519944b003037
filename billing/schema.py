"""What the OpenAPI document says of account and usage."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from billing import rating
from billing.models import Account
from billing.plans import PLANS, SANDBOX
from mnistapi.openapi import closed, problem_responses

COUNT = {"type": "integer", "minimum": 0}
DAY = {"type": "string", "format": "date"}
COUNTS = {"calls": COUNT, "units": COUNT, "errors": COUNT}
DOLLARS = {"type": "string", "pattern": r"^\d+\.\d{2,6}$", "examples": ["19.48", "0.0005"]}
SPEND_LIMIT = {
    **DOLLARS,
    "type": ["string", "null"],
    "description": "Of a month; null on a plan without prices, and for test keys.",
}
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
            plan={"enum": [*PLANS, SANDBOX.name], "description": "Test keys are on the sandbox."},
            status={"enum": Account.Status.values},
            allowance={**COUNT, "description": "Units of a month that are free."},
            rate=closed(
                per_second={**COUNT, "description": "Calls a second, for good."},
                burst={**COUNT, "description": "Calls at once, after a rest."},
            ),
            cost={**DOLLARS, "description": "Of the month so far."},
            currency={"const": rating.CURRENCY},
            spend_limit=SPEND_LIMIT,
            period={"type": "string", "examples": ["2026-11"], "description": "The month, in UTC."},
            period_units=COUNT,
            remaining_free=COUNT,
            spend_limit_remaining=SPEND_LIMIT,
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
