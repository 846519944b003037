"""Disputes: opened and closed by order of the tests, as a bank would; the API reads them."""

from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.payments import matching
from sandbox.stripe.shapes import text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

LIST = {"charge": text, "payment_intent": text}
DAYS_TO_ANSWER = 7 * 86_400


def open_(world: World, charge_id: str) -> Json:
    """The customer disputes the charge: its money is withdrawn."""
    charge = world.fetch("charge", charge_id)
    if charge["status"] != "succeeded" or charge["disputed"]:
        raise invalid("Only a charge that succeeded can be disputed, and once.", "charge")
    charge["disputed"] = True
    world.store.put(charge)
    dispute = world.store.put(blank(world, charge))
    emit(world, "charge.dispute.created", dispute)
    emit(world, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def blank(world: World, charge: Json) -> Json:
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": world.now() + DAYS_TO_ANSWER,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": "general",
        "status": "needs_response",
    }


def close(world: World, id: str, won: bool) -> Json:
    """The bank decides; won means that the money comes back."""
    dispute = world.fetch("dispute", id)
    if dispute["status"] in ("won", "lost"):
        raise invalid(f"The dispute is {dispute['status']} already.")
    with updating(world, dispute, "charge.dispute.closed"):
        dispute["status"] = "won" if won else "lost"
    if won:
        emit(world, "charge.dispute.funds_reinstated", dispute)
    return dispute


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("dispute", call.id)


def list_(world: World, call: Call) -> Json:
    rows = matching(world.store.all("dispute"), call.params, ("charge", "payment_intent"))
    return page(world, "/v1/disputes", rows, call.params)
