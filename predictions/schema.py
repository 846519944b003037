"""What the OpenAPI document says of the calls."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

from mnistapi.openapi import closed, problem_responses
from predictions.images import INKS, MAX_IMAGES, PIXELS, SIDE

REFUSALS = problem_responses(400, 401, 405, 411, 413, 415, 422, 500, 503)

PIXEL = {"type": "number", "minimum": 0, "maximum": 255}
FLAT = {"type": "array", "items": PIXEL, "minItems": PIXELS, "maxItems": PIXELS}
ROW = {"type": "array", "items": PIXEL, "minItems": SIDE, "maxItems": SIDE}
ROWS = {"type": "array", "items": ROW, "minItems": SIDE, "maxItems": SIDE}
IMAGE = {"oneOf": [FLAT, ROWS]}
IMAGES = {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": MAX_IMAGES}
INK = {
    "type": "string",
    "enum": sorted(INKS),
    "description": "Without it, each image is looked at: where most of its frame is light, "
    "the ink is dark.",
}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
PROBABILITIES = {"type": "array", "items": PROBABILITY, "minItems": 10, "maxItems": 10}


def sent(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An object with the images in that field, and maybe their ink."""
    return closed(**{field: schema}) | {"properties": {field: schema, "ink": INK}}


BODY = {
    "oneOf": [
        FLAT,
        ROWS,
        IMAGES,
        sent("image", IMAGE),
        sent("images", {"oneOf": [FLAT, ROWS, IMAGES]}),
    ]
}

PREDICTION = closed(
    digit={"type": "integer", "minimum": 0, "maximum": 9},
    confidence=PROBABILITY,
    probabilities=PROBABILITIES,
)
USAGE = closed(
    units={"type": "integer", "description": "Images answered, one unit each."},
    livemode={"type": "boolean", "description": "False for a test key, which is never billed."},
    period={"type": "string", "examples": ["2026-11"], "description": "The month, in UTC."},
    period_units={"type": "integer", "description": "Units of the month so far, in this mode."},
)
ANSWER = closed(
    id={"type": "string", "format": "uuid", "description": "Also in `X-Request-Id`."},
    release={"type": "string", "description": "The release of the model that answered."},
    predictions={"type": "array", "items": PREDICTION},
    usage=USAGE,
)

PREDICTIONS: dict[str, Any] = {
    "operation_id": "predict",
    "tags": ["predictions"],
    "summary": "Recognise handwritten digits",
    "description": f"One image, or up to {MAX_IMAGES}. A 200 is a receipt: its row is in the log. "
    "Whatever else is answered is not charged.",
    "request": {"application/json": BODY},
    "responses": {(200, "application/json"): ANSWER, **REFUSALS},
    "examples": [
        OpenApiExample(
            "A blank image",
            value={"image": [[0] * SIDE] * SIDE, "ink": "light"},
            request_only=True,
        )
    ],
}

BLOG: dict[str, Any] = {
    "operation_id": "predict_bare",
    "tags": ["predictions"],
    "summary": "Recognise one digit, in the form of the original blog post",
    "description": "784 numbers in 0..255, dark ink on light paper, nothing done to them but "
    "`(255 - x) / 255`; ten probabilities come back.",
    "request": {"application/json": FLAT},
    "responses": {(200, "application/json"): PROBABILITIES, **REFUSALS},
}
