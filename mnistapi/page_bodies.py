"""How much may be sent to a page: what its forms need. Calls have limits of their own."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpResponse

from mnistapi.errors import answer, is_for_a_program
from mnistapi.problems import BODY_TOO_LARGE, Problem
from mnistapi.request_ids import IdentifiedRequest


class RefuseLarge:
    """Middleware: Django limits the fields of a form, but writes files of any size to the disk,
    and does so before it looks who sends them.
    """

    def __init__(self, get_response: Callable[[IdentifiedRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: IdentifiedRequest) -> HttpResponse:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if length > most and not is_for_a_program(request):
            return answer(request, Problem(BODY_TOO_LARGE, f"A form may have {most:,} bytes."))
        return self.get_response(request)
