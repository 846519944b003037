"""Over plain HTTP, pages lead on to HTTPS, and calls are refused: their key has leaked already."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpResponse

from mnistapi.errors import is_for_a_program
from mnistapi.problems import FORBIDDEN, Problem
from mnistapi.request_ids import IdentifiedRequest

DETAIL = "Call over https://. A key that was sent here can be read on its way: rotate it."


class RefuseCalls:
    """Middleware, in front of the one that redirects to HTTPS."""

    def __init__(self, get_response: Callable[[IdentifiedRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: IdentifiedRequest) -> HttpResponse:
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and is_for_a_program(request):
            return Problem(FORBIDDEN, DETAIL).response(request.id)
        return self.get_response(request)
