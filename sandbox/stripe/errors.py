"""Refusals, in the shapes and with the status codes of Stripe."""

from sandbox.stripe.store import Json


class Refusal(Exception):
    """An answer other than a 200: `status`, the `error` object, and headers besides."""

    def __init__(self, status: int, error: Json, headers: dict[str, str] | None = None) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = {name: value for name, value in error.items() if value is not None}
        self.headers = headers or {}


def invalid(
    message: str, param: str | None = None, code: str | None = None, status: int = 400
) -> Refusal:
    error = {"type": "invalid_request_error", "message": message, "param": param, "code": code}
    return Refusal(status, error)


def missing(param: str) -> Refusal:
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def no_such(kind: str, id: str, param: str | None = "id", status: int = 404) -> Refusal:
    """404 for the object that was asked for; 400 for one that a parameter names."""
    return invalid(f"No such {kind}: '{id}'", param, "resource_missing", status)


def unauthorized(message: str) -> Refusal:
    return invalid(message, status=401)


def rate_limited(message: str) -> Refusal:
    return invalid(message, code="rate_limit", status=429)


def idempotency(message: str) -> Refusal:
    return Refusal(400, {"type": "idempotency_error", "message": message})


def key_in_use(key: str) -> Refusal:
    message = f"Another request with the idempotency key {key} is still being worked on."
    return invalid(message, code="idempotency_key_in_use", status=409)


def broken(status: int = 500) -> Refusal:
    return Refusal(
        status, {"type": "api_error", "message": "The local Stripe fails, as it was told to."}
    )


def declined(decline_code: str, charge: str) -> Refusal:
    error = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": decline_code,
        "message": "Your card was declined.",
        "charge": charge,
    }
    return Refusal(402, error)


def unknown(what: str) -> Refusal:
    """501: the real Stripe may know it, this one does not, and nobody shall take it for done."""
    message = f"The local Stripe does not know {what}."
    return Refusal(501, {"type": "api_error", "code": "not_in_the_sandbox", "message": message})
