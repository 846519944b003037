"""Subscriptions: one bills the usage of a customer, month by month."""

from typing import Any

from billing.stripe_gateway.client import MARK, PAGE, asks_stripe, v1
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
    """All that the customer ever had, the newest first."""
    wanted = {"customer": customer, "status": "all", "limit": PAGE}
    return [subscription_of(one) for one in v1().subscriptions.list(wanted).auto_paging_iter()]


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
