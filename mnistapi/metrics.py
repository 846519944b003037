"""`/metrics`, for Prometheus: what the processes of this machine count, and what the books say."""

import os
from collections.abc import Callable, Iterator

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from billing.metrics import Books

HERE = ("127.0.0.1", "::1")


class Metrics:
    """Middleware: answers `/metrics` to who may read it; for all others there is no such address.

    As `mnistapi.health` it stands in front: a scraper asks a process over plain HTTP, with an
    address of its own as the host.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path == "/metrics" and may_read(request):
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
            return HttpResponse(encode(Everything()), content_type=content_type)
        return self.get_response(request)


def may_read(request: HttpRequest) -> bool:
    """Who has the token; where there is none, a laptop itself."""
    if not settings.METRICS_TOKEN:
        return settings.LOCAL and request.META["REMOTE_ADDR"] in HERE
    sent = request.headers.get("Authorization", "")
    return constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}")


class Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from counted().collect()
        yield from Books().collect()


def counted() -> Collector:
    """By all processes under one gunicorn, or by this one where it is alone."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]
    return REGISTRY
