"""Customers who pay: with a card and a subscription at the local Stripe."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from billing import stripe_gateway
from billing.closing import close_drafts
from billing.meter import push_due
from billing.meter_models import MeterClaim, MeterPush
from billing.models import LONG_AGO, Account
from billing.plans import PAYG
from billing.proving import metered_hours
from mnistapi.uuid7 import floor
from predictions import partitions
from predictions.models import Call
from sandbox.stripe.server import LocalStripe
from tests.books import RELEASE, used
from tests.conftest import Holder
from tests.local_stripe import advance, checked_stripe, client_of, control

HOUR = timedelta(hours=1)
SEEN = 4  # seconds after which the local Stripe knows of what it was sent


def month_before(moment: datetime) -> datetime:
    return (moment.replace(day=1) - timedelta(days=1)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )


# All of it lies in the past of the database, which decides what is over.
END = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
START = month_before(END)
PERIOD = START.date()
EVENING = END - 6 * HOUR  # full hours of the last day, which a pass over 35 days always sees


@dataclass
class Payer:
    """A customer with a live key, and his id at Stripe."""

    holder: Holder
    id: str

    @property
    def account(self) -> Account:
        return Account.objects.get(pk=self.holder.customer.pk)

    def uses(self, units: int, hour: datetime = EVENING) -> None:
        Account.objects.update(live_tat=LONG_AGO)
        used(self.holder, units, hour + timedelta(minutes=7))

    def calls(self, units: int, hour: datetime = EVENING) -> None:
        """Uses them in one call, which is in the log as well."""
        self.uses(units, hour)
        self.logs(units, hour)

    def logs(self, units: int, hour: datetime = EVENING) -> None:
        at = hour + timedelta(minutes=7)
        Call.objects.create(
            id=UUID(int=floor(at).int | secrets.randbits(60)),
            at=at,
            customer=self.holder.customer,
            key=self.holder.row,
            release=RELEASE if units else "",
            units=units,
            status=200 if units else 400,
            problem="" if units else "invalid_body",
            latency_ms=1.5,
        )

    def pushes(self) -> list[tuple[datetime, int, int | None]]:
        rows = MeterPush.objects.filter(customer=self.holder.customer).order_by("hour")
        return list(rows.values_list("hour", "pushes", "units"))

    def metered(self) -> dict[datetime, int]:
        """By hour, once Stripe has counted it."""
        return dict(metered_hours(self.id, START, END))


@dataclass
class Shop:
    """A local Stripe in the last evening of the month before, with our meter and price."""

    local: LocalStripe
    price: str

    def payer(self, holder: Holder, card: str = "pm_card_visa") -> Payer:
        customer = holder.customer
        id = stripe_gateway.create_customer(customer.pk, customer.user.email, f"c{customer.pk}")
        method = client_of(self.local).v1.payment_methods.attach(card, {"customer": id})
        stripe_gateway.make_card_default(id, method.id)
        start, anchor = int(START.timestamp()), int(END.timestamp())
        subscription = stripe_gateway.create_subscription(
            id, self.price, "", start, anchor, f"s{customer.pk}"
        )
        Account.objects.of(customer)
        Account.objects.filter(pk=customer.pk).update(
            plan=PAYG.name, stripe_customer_id=id, stripe_subscription_id=subscription.id
        )
        return Payer(holder, id)

    def comes_back(self, payer: Payer, start: datetime) -> None:
        """His subscription is ended at once; another one begins at `start`."""
        client_of(self.local).v1.subscriptions.cancel(payer.account.stripe_subscription_id)
        begins, anchor = int(start.timestamp()), int(END.timestamp())
        subscription = stripe_gateway.create_subscription(
            payer.id, self.price, "", begins, anchor, f"s{payer.id}"
        )
        Account.objects.filter(stripe_customer_id=payer.id).update(
            stripe_subscription_id=subscription.id
        )

    def count(self) -> None:
        advance(self.local, SEEN)

    def end_the_month(self) -> None:
        control(self.local, "POST", "clock", {"to": int(END.timestamp())})

    def fail(self, kind: str, **more: Any) -> None:
        wish = {"kind": kind, "path": "/v1/billing/meter_events", **more}
        control(self.local, "POST", "failures", wish)

    def heal(self) -> None:
        control(self.local, "DELETE", "failures")


@contextmanager
def log_of_the_month() -> Iterator[None]:
    """The log has room for calls of the month before."""
    with connection.cursor() as cursor:
        partitions.create(PERIOD, 1, cursor.execute)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {partitions.NAME.format(PERIOD)}")


@contextmanager
def open_shop(settings: Any) -> Iterator[Shop]:
    with checked_stripe(now=int((END - HOUR).timestamp())) as local:
        settings.STRIPE_API_BASE = local.url
        settings.STRIPE_SECRET_KEY = "sk_test_x"
        meter = stripe_gateway.create_meter()
        stripe_gateway.create_product()
        yield Shop(local, stripe_gateway.create_price("payg", PAYG.tiers, meter).id)


@contextmanager
def open_watched_shop(settings: Any) -> Iterator[Shop]:
    """With the log of the month, and an operator who is told what differs."""
    settings.ADMINS = [("The operator", "operator@example.com")]
    with log_of_the_month(), open_shop(settings) as shop:
        yield shop


def close_the_month(shop: Shop) -> None:
    """As the worker does until the invoice is final."""
    shop.end_the_month()
    for _ in range(2):
        MeterClaim.objects.update(until=timezone.now())
        close_drafts(threading.Event())
        shop.count()


def push_all() -> None:
    """One pass over what Stripe takes, whatever failed or was pushed a moment ago."""
    MeterPush.objects.update(due_at=timezone.now())
    MeterClaim.objects.update(until=timezone.now())
    push_due(START, threading.Event())
