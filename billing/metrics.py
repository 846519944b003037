"""What `/metrics` says of billing: the webhooks that processes took, and how the books stand.

The books are read when they are asked for, from indexes and small tables and never from the log. So
any process tells how the worker does, and also if there is none.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import structlog
from django.db import Error, connection, transaction
from django.db.models import Count, Max, Min, Q
from django.utils import timezone
from prometheus_client import Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from accounts.keys import Kind
from billing.models import Closing, MeterPush, Notice, ProofRun, StripeEvent, WorkerPass

Reading = tuple[str, float | None, str]  # of a gauge: name, value if it has one, what it is

PATIENCE_MS = 5_000  # with each query

# As `billing.meter` finds what is due, without what is to wait; of hours that are over.
UNPUSHED = """
SELECT count(*), min(h.hour) + interval '1 hour'
FROM (
    SELECT u.customer_id, u.hour, sum(u.units) AS units
    FROM billing_usagehour u JOIN accounts_apikey k ON k.id = u.key_id AND k.kind = %s
    WHERE u.hour >= now() - interval '6 hours' AND u.hour + interval '1 hour' <= now()
    GROUP BY 1, 2
) AS h
JOIN billing_account a ON a.customer_id = h.customer_id AND a.stripe_subscription_id <> ''
    AND (a.subscription_ends_at IS NULL OR h.hour < a.subscription_ends_at)
LEFT JOIN billing_meterpush p ON p.customer_id = h.customer_id AND p.hour = h.hour
WHERE h.units > 0 AND p.units IS DISTINCT FROM h.units
"""

log = structlog.get_logger()

webhooks_total = Counter("mnistapi_webhooks_total", "Stripe's, by what came of them", ["outcome"])


class Books(Collector):
    """Gauges from the database; without them only `mnistapi_books_read` is there, as 0."""

    def collect(self) -> Iterator[Metric]:
        try:
            readings = [reading for read in READINGS for reading in read_in_time(read)]
        except Error as error:
            log.error("books_not_read", error=str(error).partition("\n")[0])
            readings = []
        yield gauge("books_read", bool(readings), "1 if the database answered")
        for name, value, what in readings:
            if value is not None:
                yield gauge(name, value, what)


def gauge(name: str, value: float, what: str) -> Metric:
    return GaugeMetricFamily(f"mnistapi_{name}", what, value=value)


@transaction.atomic  # the limit of time ends with it
def read_in_time(read: Callable[[], Iterator[Reading]]) -> list[Reading]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE_MS}")
    return list(read())


def of_the_last_proof() -> Iterator[Reading]:
    run = ProofRun.objects.exclude(ended_at=None).order_by("-ended_at").first()
    if run is None:
        return
    yield "proof_last_timestamp_seconds", seconds(run.ended_at), "When all were last proved"
    yield "proof_customers", run.customers, "Customers that were proved then"
    yield "proof_months", run.months, "Months of these that were compared"
    yield "proof_differing_months", run.differing, "Months of these whose books differ"
    yield "proof_unanswered_customers", run.unanswered, "Customers of whom Stripe did not say"


def of_the_worker() -> Iterator[Reading]:
    for last in WorkerPass.objects.all():
        at = seconds(last.ended_at)
        yield "worker_last_pass_timestamp_seconds", at, "When a worker was last through with Stripe"
        yield "unhandled_events", last.unhandled_events, "Events that it could not handle then"
    pushed_at = MeterPush.objects.aggregate(last=Max("pushed_at"))["last"]
    yield "last_push_timestamp_seconds", seconds(pushed_at), "When Stripe last took an hour"


def of_hours() -> Iterator[Reading]:
    with connection.cursor() as cursor:
        cursor.execute(UNPUSHED, [Kind.LIVE])
        number, ended_at = cursor.fetchone()
    yield "unpushed_hours", number, "Hours of customers, of the last six, that Stripe lacks"
    yield "oldest_unpushed_hour_age_seconds", age(ended_at), "Since the first of them was over"


def of_closings() -> Iterator[Reading]:
    stuck = Count("pk", filter=~Q(difference=""))
    rows = Closing.objects.filter(closed_at=None)
    found = rows.aggregate(number=Count("pk"), stuck=stuck, oldest=Min("opened_at"))
    yield "open_closings", found["number"], "Invoices that are drafts still"
    yield "stuck_closings", found["stuck"], "Those that stay drafts because the books differ"
    yield "oldest_open_closing_age_seconds", age(found["oldest"]), "Since the first was found"


def of_notices() -> Iterator[Reading]:
    rows: Any = Notice.objects.due(timezone.now())
    found = rows.aggregate(number=Count("pk"), oldest=Min("made_at"))
    yield "due_notices", found["number"], "E-mails to customers that are due"
    yield (
        "oldest_due_notice_age_seconds",
        age(found["oldest"]),
        "Since the first was made",
    )


def of_events() -> Iterator[Reading]:
    newest = StripeEvent.objects.aggregate(last=Max("created_at"))["last"]
    yield "last_event_timestamp_seconds", seconds(newest), "When the newest known event happened"


READINGS = (of_the_last_proof, of_the_worker, of_hours, of_closings, of_notices, of_events)


def seconds(moment: datetime | None) -> float | None:
    """Since 1970."""
    return moment.timestamp() if moment else None


def age(moment: datetime | None) -> float:
    """In seconds; 0 of nothing."""
    return (timezone.now() - moment).total_seconds() if moment else 0
