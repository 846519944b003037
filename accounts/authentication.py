"""From the headers of a request to the API key it is made with, or to the reason why not."""

from datetime import datetime
from urllib.parse import unquote_plus

from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import keys
from accounts.models import APIKey, Customer
from mnistapi.problems import (
    EXPIRED_KEY,
    INVALID_KEY,
    KEY_IN_QUERY,
    MISSING_KEY,
    REVOKED_KEY,
    Problem,
    ProblemType,
)


class KeyAuthentication(BaseAuthentication):
    """`request.user` is the customer, `request.auth` the key, fetched once."""

    def authenticate(self, request: Request) -> tuple[Customer, APIKey]:
        row = authenticate(request._request)
        return row.customer, row


def authenticate(request: HttpRequest) -> APIKey:
    """The active key of the request. Raises a 400 or 401 problem."""
    refuse_key_in_query(request.META["QUERY_STRING"])
    key = key_from_headers(
        request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("HTTP_X_API_KEY", "")
    )
    return active(APIKey.objects.look_up(key))


def refuse_key_in_query(query: str) -> None:
    if keys.contains_key(unquote_plus(query)):
        raise Problem(
            KEY_IN_QUERY,
            "Keys are taken from a header only, as addresses end up in logs. "
            "Take this one for leaked: rotate it, and send the new one in a header.",
        )


def key_from_headers(authorization: str, x_api_key: str) -> str:
    """The key in `Authorization: Bearer KEY` or `X-API-Key: KEY`: one that is well formed.

    What cannot be a key never reaches the database.
    """
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer":
        key = x_api_key
        if not key.strip():
            raise unauthorized(
                MISSING_KEY,
                "Send your API key in a header: `Authorization: Bearer KEY` or `X-API-Key`.",
            )
    key = key.strip()
    if not keys.is_well_formed(key):
        raise unauthorized(INVALID_KEY, "This is not a key of ours: was all of it copied?")
    return key


def active(row: APIKey | None) -> APIKey:
    """The row of a key that was looked up, if a call may be made with it now."""
    if row is None:
        raise no_such_key()
    if refusal := refusal_of_now(row):
        raise refusal
    return row


def refusal_of_now(row: APIKey) -> Problem | None:
    if row.revoked_at or row.expires_at:
        return refusal_of(row.revoked_at, row.expires_at, timezone.now())
    return None


def no_such_key() -> Problem:
    return unauthorized(INVALID_KEY, "There is no such key.")


def refusal_of(
    revoked_at: datetime | None, expires_at: datetime | None, at: datetime
) -> Problem | None:
    """Why a key with these dates is refused at that time, if it is."""
    if revoked_at:
        return unauthorized(REVOKED_KEY, "This key was revoked. Create another on your keys page.")
    if expires_at and expires_at <= at:
        return unauthorized(EXPIRED_KEY, "This key has expired. Create another on your keys page.")
    return None


def unauthorized(type: ProblemType, detail: str) -> Problem:
    return Problem(type, detail, {"WWW-Authenticate": 'Bearer realm="mnistapi"'})
