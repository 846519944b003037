"""How an invoice begins: the draft at the end of a subscription's period."""

from sandbox.stripe.events import emit
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import World

DRAFT_SECONDS = 3_600


def create(world: World, subscription: Json, spans: list[Json]) -> Json:
    """A draft over these spans (item, price, start, end), which is finalised in an hour."""
    invoice = blank(world, subscription, spans)
    subscription["latest_invoice"] = invoice["id"]
    world.store.put(subscription)
    world.store.put(invoice)
    world.agenda.add(invoice["automatically_finalizes_at"], "invoices.advance", invoice["id"])
    emit(world, "invoice.created", invoice)
    return invoice


def blank(world: World, subscription: Json, spans: list[Json]) -> Json:
    id, now = new_id("in"), world.now()
    customer = world.fetch("customer", subscription["customer"])
    return {
        "id": id,
        "object": "invoice",
        **identity(customer),
        **nothing_paid(),
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": now + DRAFT_SECONDS,
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/invoices/{id}/lines",
        },
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "metadata": subscription["metadata"],
                "subscription": subscription["id"],
            },
        },
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "period_start": min(span["start"] for span in spans),
        "period_end": max(span["end"] for span in spans),
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": dict.fromkeys(
            ("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")
        ),
        "test_clock": None,
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
        "_spans": spans,
        "_payments": [],
    }


def identity(customer: Json) -> Json:
    """Who bills whom, as it is on the day."""
    return {
        "account_country": "US",
        "account_name": "The local Stripe",
        "account_tax_ids": None,
        "application": None,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
    }


def nothing_paid() -> Json:
    names = (
        "amount_overpaid",
        "amount_paid",
        "amount_paid_off_stripe",
        "amount_shipping",
        "post_payment_credit_notes_amount",
        "pre_payment_credit_notes_amount",
    )
    return dict.fromkeys(names, 0)
