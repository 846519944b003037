"""Stripe's portal, where customers change their cards and addresses, and cancel."""

from functools import cache

from django.conf import settings

from billing.stripe_gateway.client import MARK, PAGE, asks_stripe, v1
from billing.stripe_gateway.faults import StripeRefused
from billing.stripe_gateway.reading import metadata_of

PORTAL_FEATURES = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    # At once would leave the usage of the running month unbilled.
    "subscription_cancel": {
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
}


@cache
def portal_configuration(key: str, base: str) -> str:
    """The id of ours, kept for the process: it does not change once it is there."""
    if id := find_portal_configuration():
        return id
    raise StripeRefused("There is no portal configuration: run `manage.py stripe_setup`.")


@asks_stripe
def find_portal_configuration() -> str:
    """Its id; empty if there is none."""
    configurations = v1().billing_portal.configurations.list({"active": True, "limit": PAGE})
    for configuration in configurations.auto_paging_iter():
        if metadata_of(configuration).get("app") == MARK["app"]:
            return str(configuration.id)
    return ""


@asks_stripe
def create_portal_configuration(return_url: str) -> str:
    configuration = v1().billing_portal.configurations.create(
        {"features": PORTAL_FEATURES, "default_return_url": return_url, "metadata": MARK}
    )
    return str(configuration.id)


@asks_stripe
def set_portal_configuration(id: str, return_url: str) -> None:
    """As the code has it now."""
    wanted = {"features": PORTAL_FEATURES, "default_return_url": return_url}
    v1().billing_portal.configurations.update(id, wanted)


@asks_stripe
def portal_url(customer: str, return_url: str) -> str:
    """The address of a page of Stripe's for cards, addresses, tax ids and cancelling."""
    configuration = portal_configuration(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
    session = v1().billing_portal.sessions.create(
        {"customer": customer, "configuration": configuration, "return_url": return_url}
    )
    return str(session.url)
