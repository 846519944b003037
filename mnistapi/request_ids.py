"""Each request gets an id: in the answer, in every line of the log, and on the row of the call."""

import time
from collections.abc import Callable
from uuid import UUID

import structlog
from django.http import HttpRequest, HttpResponse

from mnistapi.uuid7 import uuid7

log = structlog.get_logger("mnistapi.request")


class IdentifiedRequest(HttpRequest):
    """A request behind the middleware; `began` is in seconds of `time.perf_counter`."""

    id: UUID
    began: float


class RequestIds:
    """Middleware: gives each request its id, says it in `X-Request-Id`, logs the request.

    The id is always ours. One that a client could choose would not be unique, and it is the
    primary key of the call's row. The query string is left out of the log: it may hold secrets.
    """

    def __init__(self, get_response: Callable[[IdentifiedRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: IdentifiedRequest) -> HttpResponse:
        request.began = time.perf_counter()
        request.id = uuid7()
        request_id = str(request.id)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            response = self.get_response(request)
            response.headers.setdefault("X-Request-Id", request_id)
            log.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                ms=round((time.perf_counter() - request.began) * 1000, 2),
            )
            return response
        finally:
            # What the server logs between two requests belongs to neither.
            structlog.contextvars.clear_contextvars()
