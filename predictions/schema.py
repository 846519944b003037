"""What the OpenAPI document says of the calls."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from billing.rating import CURRENCY
from mnistapi.openapi import closed, problem_responses
from model import labels
from predictions.idempotency import MAX_LENGTH
from predictions.images import INKS, MAX_IMAGES, MAX_RELEASE_LENGTH, PIXELS, SIDE

# Those that the books have seen say where the rate limit stands.
COUNTED = (400, 402, 403, 411, 413, 415, 422, 429, 500)
REFUSALS = problem_responses(*COUNTED, 401, 405, 503)

HEADERS = [
    OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "maxLength": MAX_LENGTH, "pattern": "^[!-~]([ -~]*[!-~])?$"},
        OpenApiParameter.HEADER,
        description="Makes the call safe to send again: for 24 hours, the same key with the same "
        "request gets the same answer, and costs nothing more. A new one for each call.",
    ),
    OpenApiParameter(
        "X-Request-Id",
        OpenApiTypes.UUID,
        OpenApiParameter.HEADER,
        description="The call in the log. An answer that is given again has that of the first.",
        response=True,
    ),
    OpenApiParameter(
        "RateLimit-Policy",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="`q` calls at once, all of which are back `w` seconds later.",
        response=[200, *COUNTED],
        examples=[OpenApiExample("Pay as you go", value='"payg";q=1000;w=10')],
    ),
    OpenApiParameter(
        "RateLimit",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="`r` calls are left now, and all are back in `t` seconds.",
        response=[200, *COUNTED],
        examples=[OpenApiExample("Pay as you go", value='"payg";r=998;t=1')],
    ),
    OpenApiParameter(
        "Retry-After",
        {"type": "integer", "minimum": 1},
        OpenApiParameter.HEADER,
        description="Seconds to wait before the call is sent again.",
        response=[429, 503],
    ),
    OpenApiParameter(
        "Idempotent-Replayed",
        {"const": "true"},
        OpenApiParameter.HEADER,
        description="This is the stored answer to a call that was sent before; it was free.",
        response=[200],
    ),
]

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
RELEASE = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_RELEASE_LENGTH,
    "description": "The name of the release that is to answer; without it, the current one.",
}
PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
LABELS = len(labels.LABELS)
PROBABILITIES = {"type": "array", "items": PROBABILITY, "minItems": LABELS, "maxItems": LABELS}


def sent(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An object with the images in that field, and maybe their ink and who is to answer."""
    options = {"ink": INK, "release": RELEASE}
    return closed(**{field: schema}) | {"properties": {field: schema, **options}}


BASE64 = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "A PNG or JPEG of up to 4 megapixels, as base64 or as a `data:` URL.",
}
BASE64S = {"type": "array", "items": BASE64, "minItems": 1, "maxItems": MAX_IMAGES}
BODY = {
    "oneOf": [
        FLAT,
        ROWS,
        IMAGES,
        sent("image", {"oneOf": [FLAT, ROWS, BASE64]}),
        sent("images", {"oneOf": [FLAT, ROWS, IMAGES, BASE64S]}),
    ]
}

NPY = {
    "type": "string",
    "format": "binary",
    "description": "As `numpy.save` writes it: [n, 28, 28] or [n, 784], or one of them, of uint8 "
    "or floats.",
}

PICTURE = {
    "type": "string",
    "format": "binary",
    "description": "Up to 4 megapixels; the digit is looked for in it.",
}
FORM = closed(
    image={"type": "array", "items": PICTURE, "minItems": 1, "description": "PNG or JPEG."}
)
FORM["properties"] |= {"ink": INK, "release": RELEASE}

LIKELIHOODS = {
    "confidence": PROBABILITY | {"description": "The greatest of the probabilities."},
    "probabilities": PROBABILITIES
    | {
        "description": "In the order of the labels. They sum to 1 or, from a release that knows "
        "what it does not know, to the probability that the image shows any of them.",
    },
}
PREDICTION = {
    "oneOf": [
        closed(**{labels.FIELD: {"enum": labels.LABELS}, **LIKELIHOODS}),
        closed(
            **{
                labels.FIELD: {
                    "type": "null",
                    "description": "None of them: `reason` says why. It is a prediction like any "
                    "other, and has the same price.",
                },
                "reason": {
                    "enum": list(labels.REASONS),
                    "description": "; ".join(
                        f"`{reason}`: {why}" for reason, why in labels.REASONS.items()
                    ),
                },
                **LIKELIHOODS,
            }
        ),
    ]
}
COUNT = {"type": "integer", "minimum": 0}
DOLLARS = {"type": "string", "pattern": r"^\d+\.\d{2,6}$"}
USAGE = closed(
    units={"type": "integer", "minimum": 1, "description": "Images answered, one unit each."},
    cost=DOLLARS | {"description": "Of this call, exact.", "examples": ["0.0005"]},
    currency={"const": CURRENCY},
    livemode={"type": "boolean", "description": "False for a test key, which is never billed."},
    period={
        "type": "string",
        "pattern": r"^\d{4}-\d{2}$",
        "examples": ["2026-11"],
        "description": "The month, in UTC.",
    },
    period_units=COUNT | {"description": "Units of the month so far, in this mode."},
    remaining_free=COUNT | {"description": "What is left of the month's allowance, in units."},
    spend_limit_remaining=DOLLARS
    | {
        "type": ["string", "null"],
        "examples": ["19.48"],
        "description": "What the month may cost still; null where nothing is billed.",
    },
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
    "description": "One image, or as many as your plan allows. A 200 is a receipt: its row is in "
    "the log. Whatever else is answered is not charged.",
    "parameters": HEADERS,
    "request": {
        "application/json": BODY,
        "application/x-npy": NPY,
        "image/png": PICTURE,
        "image/jpeg": PICTURE,
        "multipart/form-data": FORM,
    },
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
    "parameters": HEADERS,
    "request": {"application/json": FLAT},
    "responses": {(200, "application/json"): PROBABILITIES, **REFUSALS},
}

SHARE = {"type": "number", "minimum": 0, "maximum": 1}
MODEL = closed(
    name={"type": "string", "description": "What a call asks for as `release`."},
    current={"type": "boolean", "description": "Whether it answers calls that ask for none."},
    network={"type": ["string", "null"]},
    labels={"type": "array", "items": {"enum": labels.LABELS}},
    rejects={
        "type": "boolean",
        "description": "Whether it says of an image that it shows none of these. A blank one is "
        "always told.",
    },
    accuracy={
        "oneOf": [
            {"type": "null"},
            closed(
                share=SHARE,
                interval={
                    "type": "array",
                    "items": SHARE,
                    "minItems": 2,
                    "maxItems": 2,
                    "description": "In which the share would lie for such images, with 95 %.",
                },
                images={"type": "integer", "minimum": 1},
            ),
        ],
        "description": "The share of the test images that it answered rightly.",
    },
    date={"type": ["string", "null"], "format": "date"},
    url={"type": "string", "format": "uri", "description": "Its card, for people."},
)
MODELS: dict[str, Any] = {
    "operation_id": "models",
    "tags": ["models"],
    "summary": "The releases of the model",
    "description": "Needs no key. The current one comes first.",
    "auth": [],
    "request": None,
    "responses": {
        (200, "application/json"): closed(models={"type": "array", "items": MODEL}),
        **problem_responses(400, 405, 500),
    },
}
