"""Payment intents and charges: the money behind an invoice."""

from typing import Any

from sandbox.stripe import cards
from sandbox.stripe.answers import page
from sandbox.stripe.errors import Refusal, declined
from sandbox.stripe.events import emit
from sandbox.stripe.shapes import choice, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

LIST = {"invoice": text, "status": choice("open", "paid", "canceled")}
LIST_OF_CUSTOMER = {"customer": text}
LIST_CHARGES = {"customer": text, "payment_intent": text}


def create(world: World, invoice: Json) -> Json:
    """The payment that an invoice waits for, and its intent."""
    intent = blank_intent(world, invoice)
    payment = blank(world, invoice, {"type": "payment_intent", "payment_intent": intent["id"]})
    world.store.put(intent)
    emit(world, "payment_intent.created", intent)
    return world.store.put(payment)


def record(world: World, invoice: Json) -> Json:
    """A payment that was made outside of Stripe, which has a record of it and no intent."""
    made = {"type": "payment_record", "payment_record": new_id("pr")}
    payment = blank(world, invoice, made)
    payment |= {"status": "paid", "is_default": False, "amount_paid": invoice["amount_remaining"]}
    payment["status_transitions"]["paid_at"] = world.now()
    world.store.put(payment)
    emit(world, "invoice_payment.paid", payment)
    return payment


def blank(world: World, invoice: Json, made: Json) -> Json:
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_remaining"],
        "created": world.now(),
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": made,
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def blank_intent(world: World, invoice: Json) -> Json:
    id = new_id("pi")
    return {
        "id": id,
        "object": "payment_intent",
        "amount": invoice["amount_remaining"],
        "amount_capturable": 0,
        "amount_received": 0,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_secret_{new_id('x')[2:]}",
        "confirmation_method": "automatic",
        "created": world.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "description": "Subscription update",
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "receipt_email": None,
        "setup_future_usage": "off_session",
        "status": "requires_payment_method",
    }


def charge(world: World, invoice: Json, payment: Json, method_id: str) -> Refusal | None:
    """Charge the card, and give the refusal if it is declined."""
    method = cards.of_customer(world, method_id, invoice["customer"], "payment_method")
    intent = world.fetch("payment_intent", payment["payment"]["payment_intent"])
    # A credit note may have lowered it since it was made.
    intent["amount"] = payment["amount_requested"] = invoice["amount_remaining"]
    code = method["_decline_code"]
    made = world.store.put(blank_charge(world, intent, method))
    intent["latest_charge"] = made["id"]
    if code:
        return fail(world, intent, made, code)
    succeed(world, payment, intent, made)
    return None


def succeed(world: World, payment: Json, intent: Json, made: Json) -> None:
    intent |= {
        "status": "succeeded",
        "amount_received": intent["amount"],
        "payment_method": made["payment_method"],
        "last_payment_error": None,
    }
    payment |= {"status": "paid", "amount_paid": intent["amount"]}
    payment["status_transitions"]["paid_at"] = world.now()
    world.store.put(intent)
    world.store.put(payment)
    emit(world, "charge.succeeded", made)
    emit(world, "payment_intent.succeeded", intent)
    emit(world, "invoice_payment.paid", payment)


def fail(world: World, intent: Json, made: Json, code: str) -> Refusal:
    refusal = declined(code, made["id"])
    made |= {
        "status": "failed",
        "paid": False,
        "captured": False,
        "amount_captured": 0,
        "failure_code": "card_declined",
        "failure_message": refusal.error["message"],
        "outcome": outcome("issuer_declined", "declined_by_network", code),
    }
    intent["last_payment_error"] = refusal.error
    world.store.put(made)
    world.store.put(intent)
    emit(world, "charge.failed", made)
    emit(world, "payment_intent.payment_failed", intent)
    return refusal


def outcome(type: str, network_status: str, reason: str | None) -> Json:
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": network_status,
        "reason": reason,
        "risk_level": "normal",
        "seller_message": None,
        "type": type,
    }


def blank_charge(world: World, intent: Json, method: Json) -> Json:
    card = method["card"]
    shown = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    details = {name: card[name] for name in shown}
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"],
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "captured": True,
        "created": world.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "outcome": outcome("authorized", "approved_by_network", None),
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": "card", "card": details},
        "receipt_email": None,
        "receipt_url": None,
        "refunded": False,
        "status": "succeeded",
        "_refunds": [],
    }


def cancel(world: World, payment: Json) -> None:
    """Call off a payment that is not made yet."""
    if payment["status"] != "open":
        return
    intent = world.fetch("payment_intent", payment["payment"]["payment_intent"])
    intent |= {
        "status": "canceled",
        "canceled_at": world.now(),
        "cancellation_reason": "void_invoice",
    }
    payment["status"] = "canceled"
    payment["status_transitions"]["canceled_at"] = world.now()
    world.store.put(intent)
    world.store.put(payment)
    emit(world, "payment_intent.canceled", intent)


def retrieve_intent(world: World, call: Call) -> Json:
    return world.fetch("payment_intent", call.id)


def list_intents(world: World, call: Call) -> Json:
    rows = matching(world.store.all("payment_intent"), call.params, ("customer",))
    return page(world, "/v1/payment_intents", rows, call.params)


def retrieve_charge(world: World, call: Call) -> Json:
    return world.fetch("charge", call.id)


def list_charges(world: World, call: Call) -> Json:
    rows = matching(world.store.all("charge"), call.params, ("customer", "payment_intent"))
    return page(world, "/v1/charges", rows, call.params)


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("invoice_payment", call.id)


def list_(world: World, call: Call) -> Json:
    rows = matching(world.store.all("invoice_payment"), call.params, ("invoice", "status"))
    return page(world, "/v1/invoice_payments", rows, call.params)


def matching(rows: list[Json], params: Json, names: tuple[str, ...]) -> list[Json]:
    """The rows in which each of these fields is what the parameter of its name says."""
    wanted: dict[str, Any] = {name: params[name] for name in names if name in params}
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]
