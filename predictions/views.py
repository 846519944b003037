"""The first door: the calls of the API as Django REST views."""

from collections.abc import Callable
from typing import cast

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import APIKey
from mnistapi.problems import (
    BAD_REQUEST,
    BODY_TOO_LARGE,
    LENGTH_REQUIRED,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    problem_from,
)
from mnistapi.request_ids import IdentifiedRequest
from predictions import answers, images, schema
from predictions.images import Images
from predictions.settlement import OpenCall, Receipt, settle


class PredictionsView(APIView):
    @extend_schema(**schema.PREDICTIONS)
    def post(self, request: Request) -> HttpResponse:
        return settled(request, images.decode, answers.answer)


class BlogView(APIView):
    @extend_schema(**schema.BLOG)
    def post(self, request: Request) -> HttpResponse:
        return settled(request, images.decode_blog, answers.blog_answer)


def settled(
    request: Request, decode: Callable[[bytes], Images], answer: Callable[[Receipt], bytes]
) -> HttpResponse:
    """Decode, settle and answer a call that is authenticated. Raises its refusal."""
    (outcome,) = settle([open_call(request, decode)])
    if isinstance(outcome, Problem):
        raise outcome
    return HttpResponse(answer(outcome), content_type="application/json")


def open_call(request: Request, decode: Callable[[bytes], Images]) -> OpenCall:
    """The call with its images or, as it is logged all the same, with why it has none."""
    http = cast(IdentifiedRequest, request._request)
    call = OpenCall(http.id, cast(APIKey, request.auth), http.began)
    try:
        call.images = decode(read_body(http))
    except Exception as error:
        call.refusal = problem_from(error)
    return call


def read_body(request: HttpRequest) -> bytes:
    """The whole body of a JSON request. What is not to be read is refused unread."""
    if request.content_type != "application/json":
        raise Problem(UNSUPPORTED_MEDIA_TYPE, "Send JSON, with `Content-Type: application/json`.")
    length = request.META.get("CONTENT_LENGTH")
    if not length or "HTTP_TRANSFER_ENCODING" in request.META:
        raise Problem(LENGTH_REQUIRED, "Send the body whole, with its `Content-Length`.")
    if int(length) > images.MAX_BODY:
        raise Problem(BODY_TOO_LARGE, f"The body may have {images.MAX_BODY:,} bytes.")
    try:
        return request.read(images.MAX_BODY)
    except UnreadablePostError:
        raise Problem(BAD_REQUEST, "The connection ended before the body did.") from None
