"""The library's client: one for the process, its time-outs and retries, its exceptions as ours."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import stripe
from django.conf import settings

from billing.stripe_gateway.faults import StripeFault, StripeRefused, StripeUnavailable

# What this code was written for; the library's own version may move on with an update.
API_VERSION = "2026-10-28.endive"
TIMEOUT_SECONDS = (5, 20)
MAX_RETRIES = 2

MARK = {"app": "mnistapi"}  # in the metadata of what is ours
PAGE = 100

stripe.enable_telemetry = False  # it would write a file in the home folder

P = ParamSpec("P")
R = TypeVar("R")


@cache
def client_for(key: str, base: str) -> stripe.StripeClient:
    """One for the process; it keeps a connection for each thread."""
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": base} if base else None,
        max_network_retries=MAX_RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
    )


def v1() -> Any:
    return client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v1


def v2() -> Any:
    return client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v2


def asks_stripe(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the library's exceptions into ours."""

    @wraps(function)
    def asking(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except stripe.StripeError as error:
            raise ours(error) from error

    return asking


def ours(error: stripe.StripeError) -> StripeFault:
    status = error.http_status or 0
    message = error.user_message or type(error).__name__
    if status == 429 or status == 409 or not 400 <= status < 500:
        return StripeUnavailable(message)
    return StripeRefused(message, error.code or "")
