"""What a platform asks a process: is it alive, and should it get traffic?"""

from collections.abc import Callable

from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from mnistapi import releases
from model import serving


class Health:
    """Middleware: answers `/livez` and `/readyz` before anything else looks at the request.

    It stands in front because a platform probes over plain HTTP with an address of its own as
    the host, which the checks of host and HTTPS behind it rightly refuse.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/livez":
            return JsonResponse({"alive": True})
        if request.path == "/readyz":
            return readiness()
        return self.get_response(request)


def readiness() -> JsonResponse:
    """200 if a call would be answered; 503 that names what is missing.

    It names the release that answers and, if there is one, that which should but cannot be loaded.
    """
    release = current_release()
    checks = {"database": database_is_reached(), "model": bool(release)}
    ready = all(checks.values())
    body = {"ready": ready, **checks, "release": release}
    if failed := releases.failed():
        body["release_failed"] = failed
    return JsonResponse(body, status=200 if ready else 503)


def database_is_reached() -> bool:
    """And migrated: it has the log that a call is written to."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM predictions_call LIMIT 1")
    except (DatabaseError, InterfaceError):
        return False
    return True


def current_release() -> str | None:
    try:
        return serving.current().name
    except serving.NotLoaded:
        return None
