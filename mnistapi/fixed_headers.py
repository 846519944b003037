"""The headers that Django's middleware adds to every answer, for those that do not pass it."""

from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

MIDDLEWARE = (SecurityMiddleware, CSPMiddleware, XFrameOptionsMiddleware)


def of_an_answer() -> dict[str, str]:
    """What stands on each answer of the API besides what the answer itself says."""
    request = HttpRequest()
    request.META["HTTP_X_FORWARDED_PROTO"] = "https"  # else HSTS is left out
    response = HttpResponse(headers={"Allow": "POST"})
    del response["Content-Type"]
    for middleware in MIDDLEWARE:
        middleware(lambda request: HttpResponse()).process_response(request, response)
    return dict(response.items())
