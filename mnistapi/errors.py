"""What Django answers when no view does: problems to programs, pages to people."""

import re
import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.shortcuts import render

from mnistapi.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_FOUND,
    Problem,
    internal_error,
    unavailable,
)
from mnistapi.request_ids import IdentifiedRequest as Request

PROGRAMS = re.compile(r"/+(v1|webhooks)(/|$)")


def bad_request(request: Request, exception: Exception) -> HttpResponse:
    return answer(request, Problem(BAD_REQUEST, "The request cannot be understood."))


def forbidden(request: Request, exception: Exception) -> HttpResponse:
    return answer(request, Problem(FORBIDDEN, "You may not see this."))


def not_found(request: Request, exception: Exception) -> HttpResponse:
    return answer(request, Problem(NOT_FOUND, "There is nothing at this address."))


def server_error(request: Request) -> HttpResponse:
    """Called where the exception is handled that a page has raised."""
    is_unavailable = isinstance(sys.exc_info()[1], (OperationalError, InterfaceError))
    return answer(request, unavailable() if is_unavailable else internal_error())


def csrf_failure(request: Request, reason: str = "") -> HttpResponse:
    """CSRF_FAILURE_VIEW: mostly a form that stood open for too long."""
    return answer(request, Problem(FORBIDDEN, "This form has expired. Go back and load it again."))


def answer(request: Request, problem: Problem) -> HttpResponse:
    if is_for_a_program(request):
        return problem.response(request.id)
    context = {"problem": problem, "request_id": request.id}
    response = render(request, "error.html", context, status=problem.type.status)
    for name, value in problem.headers.items():
        response[name] = value
    return response


def is_for_a_program(request: Request) -> bool:
    if request.path == "/":
        return request.method not in ("GET", "HEAD")
    return PROGRAMS.match(request.path) is not None
