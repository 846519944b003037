"""Stripe's objects, as far as the product reads them.

Times are timestamps of Stripe's clock, money is in cents, and an id that is not there is empty.
"""

from dataclasses import dataclass
from datetime import datetime

from billing.plans import Tier


@dataclass(frozen=True)
class Price:
    id: str
    meter: str
    tiers: tuple[Tier, ...]


@dataclass(frozen=True)
class Destination:
    """Where events are sent. Its secret is told once, when it is made."""

    id: str
    is_new: bool = False
    was_disabled: bool = False
    secret: str = ""


@dataclass(frozen=True)
class CheckoutSession:
    """`card` is empty until the session is complete."""

    id: str
    customer: str
    is_complete: bool
    card: str


@dataclass(frozen=True)
class Subscription:
    """`checkout` is the session that it was made for; `ends_at` when it will end or has ended."""

    id: str
    customer: str
    status: str
    created: int
    checkout: str
    ends_at: int | None
    ended_at: int | None
    period_start: int
    period_end: int

    @property
    def is_live(self) -> bool:
        """Whether it bills usage: it does so, too, while an invoice of it is not paid."""
        return self.status in ("active", "trialing", "past_due", "unpaid")


@dataclass(frozen=True)
class Line:
    id: str
    quantity: int
    amount: int
    description: str
    period_start: int
    period_end: int


@dataclass(frozen=True)
class Invoice:
    """`refunded` and `dispute` come from the payment; `subscription` is empty if it is of none."""

    id: str
    customer: str
    subscription: str
    number: str
    status: str
    billing_reason: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    credited: int
    refunded: int
    dispute: str
    attempted: bool
    auto_advance: bool
    created: int
    finalized_at: int | None
    automatically_finalizes_at: int | None
    period_start: int
    period_end: int
    payment_intent: str
    hosted_url: str
    pdf_url: str


@dataclass(frozen=True)
class Summary:
    """Units that Stripe has counted between two times."""

    start: int
    end: int
    units: int


@dataclass(frozen=True)
class MeterErrors:
    """Of the events taken between two times, so many could not be counted."""

    event_id: str
    type: str
    count: int
    summary: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Event:
    """That something happened; of what it says of the object, just the ids are believed.

    `object_id` is the object that it is about, `customer`, `invoice` and `payment_intent` what that
    object names, each empty if it names none.
    """

    id: str
    type: str
    created: int
    livemode: bool
    api_version: str
    object_id: str
    customer: str = ""
    invoice: str = ""
    payment_intent: str = ""
