"""Which headers stand on the answers of the API, whichever door gives them.

Django's middleware adds some that tell a browser how to show a document. A program has no use for
them, and they are more than half of the bytes of an answer to it.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

from mnistapi.errors import is_for_a_program
from mnistapi.request_ids import IdentifiedRequest

FOR_DOCUMENTS = (
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Referrer-Policy",
    "X-Frame-Options",
)


class WithoutThoseForDocuments:
    """Middleware, around those that add them."""

    def __init__(self, get_response: Callable[[IdentifiedRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: IdentifiedRequest) -> HttpResponse:
        response = self.get_response(request)
        return without_those_for_documents(response) if is_for_a_program(request) else response


def without_those_for_documents(response: HttpResponse) -> HttpResponse:
    for name in FOR_DOCUMENTS:
        del response[name]
    return response


def of_every_answer() -> dict[str, str]:
    """What stands on each answer to a call besides what the answer itself says."""
    request = HttpRequest()
    request.META["HTTP_X_FORWARDED_PROTO"] = "https"  # else HSTS would be left out
    response = HttpResponse(headers={"Allow": "POST"})
    del response["Content-Type"]
    SecurityMiddleware(lambda request: HttpResponse()).process_response(request, response)
    return dict(without_those_for_documents(response).items())
