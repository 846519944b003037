"""Credit notes by amount: less to pay on an open invoice, money back on a paid one."""

from sandbox.stripe import collection, refunds
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.payments import matching
from sandbox.stripe.shapes import choice, integer, metadata, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {
    "amount": integer,
    "invoice": text,
    "memo": text,
    "metadata": metadata,
    "out_of_band_amount": integer,
    "reason": choice("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "refund_amount": integer,
}
LIST = {"customer": text, "invoice": text}


def create(world: World, call: Call) -> Json:
    invoice = world.named("invoice", call.params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid"):
        raise invalid(f"A {invoice['status']} invoice cannot be credited.", "invoice")
    paid = invoice["status"] == "paid"
    check_amount(invoice, call.params, paid)
    refunded = give_back(world, invoice, call.params) if paid else []
    note = blank(world, invoice, call.params, refunded)
    world.store.put(note)
    emit(world, "credit_note.created", note)
    with updating(world, invoice, "invoice.updated"):
        lower(invoice, note["amount"], paid)
    if not paid and not invoice["amount_remaining"]:
        collection.call_off(world, invoice)
        collection.settle(world, invoice)
    return note


def check_amount(invoice: Json, params: Json, paid: bool) -> None:
    amount = params["amount"]
    left = invoice["amount_paid"] - invoice["post_payment_credit_notes_amount"]
    left = left if paid else invoice["amount_remaining"]
    if not 0 < amount <= left:
        raise invalid(f"The amount is not between 1 and the {left} that are left.", "amount")
    given = params.get("refund_amount", 0) + params.get("out_of_band_amount", 0)
    if given != (amount if paid else 0):
        raise invalid("refund_amount and out_of_band_amount must make up what was paid.", "amount")


def give_back(world: World, invoice: Json, params: Json) -> list[Json]:
    amount = params.get("refund_amount", 0)
    if not amount:
        return []
    payment = world.fetch("invoice_payment", invoice["_payments"][-1])
    intent = world.fetch("payment_intent", payment["payment"]["payment_intent"])
    charge = world.fetch("charge", intent["latest_charge"])
    return [refunds.refund(world, charge, amount, {})]


def lower(invoice: Json, amount: int, paid: bool) -> None:
    if paid:
        invoice["post_payment_credit_notes_amount"] += amount
    else:
        invoice["pre_payment_credit_notes_amount"] += amount
        invoice["amount_remaining"] -= amount
        invoice["amount_due"] -= amount


def blank(world: World, invoice: Json, params: Json, refunded: list[Json]) -> Json:
    id, amount = new_id("cn"), params["amount"]
    paid = invoice["status"] == "paid"
    return {
        "id": id,
        "object": "credit_note",
        **dict.fromkeys(("amount", "subtotal", "subtotal_excluding_tax"), amount),
        **dict.fromkeys(("total", "total_excluding_tax"), amount),
        "amount_shipping": 0,
        "created": world.now(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": world.now(),
        "invoice": invoice["id"],
        "lines": {
            "object": "list",
            "data": [line(amount)],
            "has_more": False,
            "url": f"/v1/credit_notes/{id}/lines",
        },
        "livemode": False,
        "memo": params.get("memo"),
        "metadata": params.get("metadata", {}),
        "number": f"{invoice['number']}-CN-{len(world.store.all('credit_note')) + 1:02}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"{world.url}/invoice/{invoice['id']}/pdf",
        "post_payment_amount": amount if paid else 0,
        "pre_payment_amount": 0 if paid else amount,
        "pretax_credit_amounts": [],
        "reason": params.get("reason"),
        "refunds": [{"amount_refunded": r["amount"], "refund": r["id"]} for r in refunded],
        "shipping_cost": None,
        "status": "issued",
        "total_taxes": [],
        "type": "post_payment" if paid else "pre_payment",
        "voided_at": None,
    }


def line(amount: int) -> Json:
    return {
        "id": new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": "Credit",
        "discount_amount": 0,
        "discount_amounts": [],
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": 1,
        "tax_rates": [],
        "taxes": [],
        "type": "custom_line_item",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("credit_note", call.id)


def list_(world: World, call: Call) -> Json:
    rows = matching(world.store.all("credit_note"), call.params, ("customer", "invoice"))
    return page(world, "/v1/credit_notes", rows, call.params)
