"""Stripe's page on which a customer enters a card."""

from billing.rating import CURRENCY
from billing.stripe_gateway.client import MARK, asks_stripe, v1
from billing.stripe_gateway.reading import id_of
from billing.stripe_gateway.values import CheckoutSession


@asks_stripe
def setup_checkout_url(customer: str, success_url: str, cancel_url: str) -> str:
    """The address of a page of Stripe's on which the customer enters a card."""
    session = v1().checkout.sessions.create(
        {
            "mode": "setup",
            "customer": customer,
            "currency": CURRENCY,
            "allowed_payment_method_types": ["card"],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "metadata": MARK,
        }
    )
    return str(session.url)


@asks_stripe
def retrieve_checkout_session(id: str) -> CheckoutSession:
    session = v1().checkout.sessions.retrieve(id, {"expand": ["setup_intent"]})
    intent = session.setup_intent
    return CheckoutSession(
        id=session.id,
        customer=id_of(session.customer),
        is_complete=session.status == "complete",
        card=id_of(intent.payment_method) if intent else "",
    )
