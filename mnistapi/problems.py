"""The one shape of every error: problem details (RFC 9457), one entry each in docs/errors.md."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.utils.text import slugify
from rest_framework import exceptions

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class ProblemType:
    """What can go wrong, as clients know it: `code` is for programs, `title` for people."""

    code: str
    status: int
    title: str

    @property
    def uri(self) -> str:
        return f"{settings.PUBLIC_URL}/docs/errors/#{slugify(self.title)}"


@dataclass
class Problem(Exception):
    """One thing that went wrong: what happened, and what the caller can do about it.

    `billed` is None where it cannot be known whether the call was counted.
    """

    type: ProblemType
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)
    billed: bool | None = False

    def body(self, request_id: object) -> bytes:
        """The problem as it is sent."""
        fields = {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "code": self.type.code,
            "detail": self.detail,
            "request_id": str(request_id),
            "billed": self.billed,
        }
        return json.dumps(fields).encode()

    def response(self, request_id: object) -> HttpResponse:
        return HttpResponse(
            self.body(request_id),
            status=self.type.status,
            content_type=MEDIA_TYPE,
            headers=dict(self.headers),
        )


BAD_REQUEST = ProblemType("bad_request", 400, "Bad request")
MALFORMED_JSON = ProblemType("malformed_json", 400, "Malformed JSON")
KEY_IN_QUERY = ProblemType("key_in_query", 400, "Key in the query string")
MISSING_KEY = ProblemType("missing_key", 401, "Missing API key")
INVALID_KEY = ProblemType("invalid_key", 401, "Invalid API key")
REVOKED_KEY = ProblemType("revoked_key", 401, "Revoked API key")
EXPIRED_KEY = ProblemType("expired_key", 401, "Expired API key")
PAYMENT_REQUIRED = ProblemType("payment_required", 402, "Payment required")
SPEND_LIMIT_REACHED = ProblemType("spend_limit_reached", 402, "Spend limit reached")
PAYMENT_FAILED = ProblemType("payment_failed", 402, "Payment failed")
FORBIDDEN = ProblemType("forbidden", 403, "Forbidden")
ACCOUNT_SUSPENDED = ProblemType("account_suspended", 403, "Account suspended")
NOT_FOUND = ProblemType("not_found", 404, "Not found")
METHOD_NOT_ALLOWED = ProblemType("method_not_allowed", 405, "Method not allowed")
LENGTH_REQUIRED = ProblemType("length_required", 411, "Length required")
BODY_TOO_LARGE = ProblemType("body_too_large", 413, "Body too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported_media_type", 415, "Unsupported media type")
WRONG_SHAPE = ProblemType("wrong_shape", 422, "Wrong shape")
MALFORMED_NPY = ProblemType("malformed_npy", 400, "Malformed npy")
MALFORMED_PICTURE = ProblemType("malformed_picture", 400, "Malformed picture")
MALFORMED_MULTIPART = ProblemType("malformed_multipart", 400, "Malformed multipart form")
UNSUPPORTED_PICTURE = ProblemType("unsupported_picture", 415, "Unsupported picture")
ANIMATED_PICTURE = ProblemType("animated_picture", 422, "Animated picture")
TOO_MANY_PIXELS = ProblemType("too_many_pixels", 422, "Too many pixels")
INVALID_BASE64 = ProblemType("invalid_base64", 422, "Invalid base64")
NOT_A_NUMBER = ProblemType("not_a_number", 422, "Not a number")
PIXEL_OUT_OF_RANGE = ProblemType("pixel_out_of_range", 422, "Pixel out of range")
TOO_MANY_IMAGES = ProblemType("too_many_images", 422, "Too many images")
UNKNOWN_FIELD = ProblemType("unknown_field", 422, "Unknown field")
INVALID_INK = ProblemType("invalid_ink", 422, "Invalid ink")
INVALID_RELEASE = ProblemType("invalid_release", 422, "Invalid release")
UNKNOWN_RELEASE = ProblemType("unknown_release", 422, "Unknown release")
INVALID_PERIOD = ProblemType("invalid_period", 422, "Invalid period")
INVALID_IDEMPOTENCY_KEY = ProblemType("invalid_idempotency_key", 422, "Invalid idempotency key")
IDEMPOTENCY_KEY_REUSED = ProblemType("idempotency_key_reused", 422, "Idempotency key reused")
RATE_LIMITED = ProblemType("rate_limited", 429, "Rate limited")
TEST_ALLOWANCE_USED_UP = ProblemType("test_allowance_used_up", 429, "Test allowance used up")
INTERNAL_ERROR = ProblemType("internal_error", 500, "Internal error")
UNAVAILABLE = ProblemType("unavailable", 503, "Temporarily unavailable")
OUTCOME_UNKNOWN = ProblemType("outcome_unknown", 503, "Outcome unknown")

PROBLEM_TYPES = [value for value in globals().values() if isinstance(value, ProblemType)]


def internal_error() -> Problem:
    return Problem(
        INTERNAL_ERROR, "The fault is ours and is logged. Send the call again; it was not charged."
    )


def unavailable() -> Problem:
    return Problem(
        UNAVAILABLE,
        "The service cannot reach its database at the moment. Send the call again in a second.",
        {"Retry-After": "1"},
    )


def outcome_unknown() -> Problem:
    return Problem(
        OUTCOME_UNKNOWN,
        "The database was lost while it kept the books of this call, which may have been counted. "
        "`GET /v1/usage` tells, once it is back.",
        {"Retry-After": "1"},
        billed=None,
    )


def problem_from(error: Exception) -> Problem:
    """Turn whatever a view of the API raised into the problem that its caller sees."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, (OperationalError, InterfaceError)):
        log.error("database_unavailable", error=str(error).partition("\n")[0])
        return unavailable()
    if isinstance(error, exceptions.MethodNotAllowed):
        return Problem(METHOD_NOT_ALLOWED, str(error.detail))
    if isinstance(error, exceptions.APIException):
        return Problem(BAD_REQUEST, str(error.detail))
    log.exception("internal_error", exc_info=error)
    return internal_error()


def exception_handler(error: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """REST_FRAMEWORK's EXCEPTION_HANDLER."""
    return problem_from(error).response(context["request"].id)
