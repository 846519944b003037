"""What is sold: the product and its price."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.plans import Tier
from billing.rating import CURRENCY, MICROS_PER_CENT
from billing.stripe_gateway.client import MARK, PAGE, asks_stripe, v1
from billing.stripe_gateway.values import Price

PRODUCT = "mnistapi-predictions"


@asks_stripe
def find_product() -> str:
    """Its id, which is ours; empty if it is not there yet."""
    found = v1().products.list({"ids": [PRODUCT]}).data
    return PRODUCT if found else ""


@asks_stripe
def create_product() -> str:
    product = v1().products.create(
        {"id": PRODUCT, "name": "Predictions", "unit_label": "unit", "metadata": MARK}
    )
    return str(product.id)


@asks_stripe
def find_price(lookup_key: str) -> Price | None:
    """The price that has the lookup key now, if it is not archived: nobody can subscribe then."""
    wanted = {"lookup_keys": [lookup_key], "active": True, "expand": ["data.tiers"]}
    found = v1().prices.list(wanted).data
    return price_of(found[0]) if found else None


@asks_stripe
def create_price(lookup_key: str, tiers: Sequence[Tier], meter: str) -> Price:
    """Graduated, by the month; it takes the lookup key from the price that had it."""
    price = v1().prices.create(
        {
            "product": PRODUCT,
            "currency": CURRENCY,
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [tier_params(tier) for tier in tiers],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter},
            "lookup_key": lookup_key,
            "transfer_lookup_key": True,
            "metadata": MARK,
            "expand": ["tiers"],
        }
    )
    return price_of(price)


def tier_params(tier: Tier) -> dict[str, Any]:
    """Stripe counts in cents, of which a unit may cost a fraction."""
    cents = Decimal(tier.price) / MICROS_PER_CENT
    up_to = "inf" if tier.up_to is None else tier.up_to
    return {"up_to": up_to, "unit_amount_decimal": f"{cents:f}"}


def price_of(price: Any) -> Price:
    tiers = tuple(
        Tier(tier.up_to, int(Decimal(tier.unit_amount_decimal) * MICROS_PER_CENT))
        for tier in price.tiers
    )
    return Price(price.id, price.recurring.meter, tiers)


@asks_stripe
def count_subscriptions(price: str) -> int:
    """How many, of those that have not ended, are to this price."""
    subscriptions = v1().subscriptions.list({"price": price, "limit": PAGE})
    return sum(1 for _ in subscriptions.auto_paging_iter())
