"""Each hour's units of each payer, on their way to Stripe's meter.

What is sent is the total of the hour so far, straight from the ledger. So nothing is queued, and
after any crash the two are compared and what differs is sent again. Stripe is never above the
ledger: a total is on the disk before it is sent, and a later push never carries an older total.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import structlog
from django.db import connection, transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils import timezone

from accounts.keys import Kind
from accounts.models import Customer
from billing import stripe_gateway
from billing.meter_models import MeterClaim, MeterPush
from billing.stripe_gateway import StripeRefused, StripeUnavailable

T = TypeVar("T")

PUSHERS = 8  # customers at once; each has a connection to the database
RUNNING_HOUR = timedelta(minutes=5)  # its next push is no sooner
REFUSED_WAIT = timedelta(hours=1)
RECENT = timedelta(hours=3)
TAKEN_BY_STRIPE = timedelta(days=35)

log = structlog.get_logger()

# The hours whose total is not what was pushed last, of those that may be pushed now.
DUE = """
SELECT a.customer_id, a.stripe_customer_id, h.hour
FROM (
    SELECT u.customer_id, u.hour, sum(u.units) AS units
    FROM billing_usagehour u JOIN accounts_apikey k ON k.id = u.key_id AND k.kind = %s
    WHERE u.hour >= %s GROUP BY 1, 2
) AS h
JOIN billing_account a ON a.customer_id = h.customer_id AND a.stripe_subscription_id <> ''
    AND (a.subscription_ends_at IS NULL OR h.hour < a.subscription_ends_at)
LEFT JOIN billing_meterpush p ON p.customer_id = h.customer_id AND p.hour = h.hour
WHERE h.units > 0 AND p.units IS DISTINCT FROM h.units
    AND (p.due_at IS NULL OR p.due_at <= now())
ORDER BY 1, 3
"""


@dataclass(frozen=True)
class DueHour:
    customer_id: int
    stripe_customer_id: str
    hour: datetime


@dataclass(frozen=True)
class Attempt:
    """The `number`-th push of an hour: it is on the disk that this total may be sent."""

    push_id: int
    number: int
    units: int
    hour: datetime

    @property
    def timestamp(self) -> int:
        return int(self.hour.timestamp()) + self.number


class Pushing:
    """Passes of one process: the hours just past in each, all that Stripe takes once an hour."""

    def __init__(self) -> None:
        self.all_again = timezone.now()

    def run(self, stopped: threading.Event) -> None:
        now = timezone.now()
        if now >= self.all_again:
            push_due(now - TAKEN_BY_STRIPE, stopped)
            self.all_again = now + timedelta(hours=1)
        else:
            push_due(now - RECENT, stopped)


def push_due(since: datetime, stopped: threading.Event) -> None:
    """Push what is due of the hours from `since` on, some customers at a time.

    Any number of processes may do this at once. Who is refused or not answered is due again later.
    """
    groups = groupby(due_hours(since), key=attrgetter("customer_id"))
    hours_of_each = [list(hours) for _, hours in groups]
    in_parallel(push_hours, hours_of_each, stopped)


def due_hours(since: datetime) -> list[DueHour]:
    with connection.cursor() as cursor:
        cursor.execute(DUE, [Kind.LIVE, since])
        return [DueHour(*row) for row in cursor.fetchall()]


def in_parallel(work: Callable[[T], object], items: Iterable[T], stopped: threading.Event) -> None:
    """Do the work on each item in a few threads; told to stop, begin with no other item."""
    waiting, taking = iter(items), threading.Lock()

    def take() -> T | None:
        with taking:
            return None if stopped.is_set() else next(waiting, None)

    def run() -> None:
        try:
            while (item := take()) is not None:
                work(item)
        finally:
            connection.close()

    with ThreadPoolExecutor(PUSHERS) as threads:
        for thread in [threads.submit(run) for _ in range(PUSHERS)]:
            thread.result()


def push_hours(hours: list[DueHour]) -> bool:
    """Push these hours of one customer; whether Stripe has them all now."""
    claim = MeterClaim.take(hours[0].customer_id)
    if not claim:
        return False
    taken = 0
    for number, hour in enumerate(hours):
        if number and not claim.renew():
            return False
        try:
            taken += push(hour)
        except StripeUnavailable as error:
            log.warning("meter_unavailable", customer=hour.customer_id, error=str(error))
            claim.back_off()
            return False
    claim.let_go()
    log.info("usage_pushed", customer=hours[0].customer_id, hours=taken)
    return taken == len(hours)


def push(due: DueHour) -> bool:
    """Send the total of an hour; whether Stripe took it. Raises StripeUnavailable."""
    attempt = begin(due)
    try:
        stripe_gateway.send_meter_event(due.stripe_customer_id, attempt.units, attempt.timestamp)
    except StripeRefused as refusal:
        log.error("meter_refused", customer=due.customer_id, hour=str(due.hour), why=str(refusal))
        note(attempt, due_at=Now() + REFUSED_WAIT, trouble=str(refusal)[:300])
        return False
    taken = {"units": attempt.units, "pushed_at": Now(), "due_at": Now() + RUNNING_HOUR}
    note(attempt, **taken, trouble="")
    return True


@transaction.atomic  # counted before the total is read, so a later push has no older total
def begin(due: DueHour) -> Attempt:
    """Count a push. Behind its commit what the total was read from is on the disk as well."""
    customer = Customer.objects.get(pk=due.customer_id)
    of_the_hour = customer.meterpush_set.select_for_update()
    row, _ = of_the_hour.get_or_create(customer=customer, hour=due.hour)
    row.pushes += 1
    row.save(update_fields=["pushes"])
    return Attempt(row.pk, row.pushes, live_units(customer, due.hour), due.hour)


def note(attempt: Attempt, **outcome: object) -> None:
    """Write down what came of a push, unless another one has begun since."""
    MeterPush.objects.filter(pk=attempt.push_id, pushes=attempt.number).update(**outcome)


def live_units(customer: Customer, hour: datetime) -> int:
    hours = customer.usagehour_set.filter(key__kind=Kind.LIVE, hour=hour)
    return int(hours.aggregate(units=Sum("units"))["units"] or 0)
