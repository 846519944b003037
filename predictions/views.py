"""The first door: the calls of the API as Django REST views."""

from typing import cast

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import APIKey
from mnistapi.problems import Problem, problem_from
from mnistapi.request_ids import IdentifiedRequest
from predictions import metrics, schema
from predictions.calls import OpenCall
from predictions.endpoints import BLOG, PREDICTIONS, Endpoint, Head
from predictions.settlement import settle
from predictions.shadow import shadow


class CallView(APIView):
    http_method_names = ["post"]  # OPTIONS, which Django REST would add, is answered 405 here

    def perform_authentication(self, request: Request) -> None:
        try:
            super().perform_authentication(request)
        except Exception as error:
            refusal = problem_from(error)
            metrics.count_refusal(refusal.type.status, refusal.type.code)
            raise refusal from error


class PredictionsView(CallView):
    @extend_schema(**schema.PREDICTIONS)
    def post(self, request: Request) -> HttpResponse:
        return settled(request, PREDICTIONS)


class BlogView(CallView):
    @extend_schema(**schema.BLOG)
    def post(self, request: Request) -> HttpResponse:
        return settled(request, BLOG)


def settled(request: Request, endpoint: Endpoint) -> HttpResponse:
    """Decode, settle and answer a call that is authenticated. Raises its refusal."""
    call = open_call(request, endpoint)
    (outcome,) = settle([call])
    shadow.offer([call], [outcome])
    if isinstance(outcome, Problem):
        raise outcome
    return HttpResponse(
        outcome.body,
        content_type="application/json",
        headers={"X-Request-Id": str(outcome.id), **outcome.headers},
    )


def open_call(request: Request, endpoint: Endpoint) -> OpenCall:
    """The call with its images, or with why it has none."""
    http = cast(IdentifiedRequest, request._request)
    call = endpoint.open(http.id, cast(APIKey, request.auth), http.began)
    head = head_of(http)
    try:
        body = read(http, endpoint.length_of(head))
    except Problem as problem:
        call.refusal = problem
    else:
        endpoint.fill(call, head, body)
    return call


def head_of(request: HttpRequest) -> Head:
    return Head(
        content_type=request.META.get("CONTENT_TYPE", ""),
        content_length=request.META.get("CONTENT_LENGTH", ""),
        transfer_encoding=request.META.get("HTTP_TRANSFER_ENCODING", ""),
        idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
    )


def read(request: HttpRequest, length: int) -> bytes:
    """So many bytes of the body, or those that came before the client went away."""
    try:
        return request.read(length)
    except UnreadablePostError:
        return b""
