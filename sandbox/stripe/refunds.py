"""Refunds of charges."""

from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid, missing
from sandbox.stripe.events import emit
from sandbox.stripe.payments import matching
from sandbox.stripe.shapes import choice, integer, metadata, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {
    "amount": integer,
    "charge": text,
    "metadata": metadata,
    "payment_intent": text,
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
}
LIST = {"charge": text, "payment_intent": text}


def create(world: World, call: Call) -> Json:
    charge = charge_of(world, call.params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = call.params.get("amount", left)
    if not left:
        message = f"Charge {charge['id']} has already been refunded."
        raise invalid(message, code="charge_already_refunded")
    if not 0 < amount <= left:
        raise invalid(f"Refund amount is not between 1 and the {left} that are left.", "amount")
    return refund(world, charge, amount, call.params)


def charge_of(world: World, params: Json) -> Json:
    if "charge" in params:
        return world.named("charge", params["charge"], "charge")
    if "payment_intent" not in params:
        raise missing("charge")
    intent = world.named("payment_intent", params["payment_intent"], "payment_intent")
    if intent["status"] != "succeeded":
        raise invalid("This PaymentIntent does not have a successful charge to refund.")
    return world.fetch("charge", intent["latest_charge"])


def refund(world: World, charge: Json, amount: int, params: Json) -> Json:
    """The invoice stays paid: a refund is the charge's own business."""
    row = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "destination_details": {"type": "card", "card": {"type": "refund"}},
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    world.store.put(row)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    charge["_refunds"].insert(0, row["id"])
    world.store.put(charge)
    emit(world, "refund.created", row)
    emit(world, "charge.refunded", charge)
    return row


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("refund", call.id)


def list_(world: World, call: Call) -> Json:
    rows = matching(world.store.all("refund"), call.params, ("charge", "payment_intent"))
    return page(world, "/v1/refunds", rows, call.params)
