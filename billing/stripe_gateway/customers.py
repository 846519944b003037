"""Who pays."""

from billing.stripe_gateway.client import MARK, asks_stripe, v1


@asks_stripe
def create_customer(customer_id: int, email: str, idempotency_key: str) -> str:
    """The id of a customer who has ours in its metadata."""
    params = {"email": email, "metadata": {**MARK, "customer": str(customer_id)}}
    made = v1().customers.create(params, {"idempotency_key": idempotency_key})
    return str(made.id)


@asks_stripe
def make_card_default(customer: str, card: str) -> None:
    """What is owed from now on is taken from this card, unless a subscription names another."""
    v1().customers.update(customer, {"invoice_settings": {"default_payment_method": card}})
