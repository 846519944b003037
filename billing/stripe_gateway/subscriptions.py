"""Subscriptions: one bills the usage of a customer, month by month.

The same customer may be sold something else at the same Stripe: only what bills our meter is ours.
"""

from typing import Any

from billing.stripe_gateway.client import MARK, PAGE, asks_stripe, v1
from billing.stripe_gateway.meters import our_meter
from billing.stripe_gateway.reading import id_of, metadata_of
from billing.stripe_gateway.values import Subscription


@asks_stripe
def create_subscription(
    customer: str, price: str, checkout: str, start: int, anchor: int, idempotency_key: str
) -> Subscription:
    """Billed for all usage since `start`, which is past, up to `anchor`, and then by the month."""
    made = v1().subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "backdate_start_date": start,
            "billing_cycle_anchor": anchor,
            "metadata": {**MARK, "checkout": checkout},
        },
        {"idempotency_key": idempotency_key},
    )
    return subscription_of(made)


@asks_stripe
def subscriptions_of(customer: str) -> list[Subscription]:
    """All of ours that the customer ever had, the newest first."""
    wanted = {"customer": customer, "status": "all", "limit": PAGE}
    found = v1().subscriptions.list(wanted).auto_paging_iter()
    return [subscription_of(one) for one in found if bills_our_meter(one)]


@asks_stripe
def is_our_subscription(id: str) -> bool:
    return bills_our_meter(v1().subscriptions.retrieve(id))


def bills_our_meter(subscription: Any) -> bool:
    prices = [item.price for item in subscription["items"].data]
    # A price without a meter need not say so.
    return our_meter() in [getattr(price.recurring, "meter", None) for price in prices]


def subscription_of(subscription: Any) -> Subscription:
    item = subscription["items"].data[0]
    return Subscription(
        id=subscription.id,
        customer=id_of(subscription.customer),
        status=subscription.status,
        created=subscription.created,
        checkout=metadata_of(subscription).get("checkout", ""),
        ends_at=subscription.ended_at or subscription.cancel_at,
        ended_at=subscription.ended_at,
        period_start=item.current_period_start,
        period_end=item.current_period_end,
    )
