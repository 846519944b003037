"""An invoice's life: draft, open, paid; or void, or uncollectible."""

from sandbox.stripe import collection, lines
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import (
    boolean,
    choice,
    clearable,
    integer,
    merged,
    metadata,
    span,
    text,
    within,
)
from sandbox.stripe.store import Json
from sandbox.stripe.world import Call, World

UPDATE = {
    "auto_advance": boolean,
    "automatically_finalizes_at": integer,
    "description": clearable(text),
    "footer": clearable(text),
    "metadata": metadata,
}
FINALIZE = {"auto_advance": boolean}
PAY = {"payment_method": text, "off_session": boolean, "paid_out_of_band": boolean}
LIST = {
    "collection_method": choice("charge_automatically"),
    "created": span,
    "customer": text,
    "status": choice("draft", "open", "paid", "uncollectible", "void"),
    "subscription": text,
}
DRAFT_ONLY = ("automatically_finalizes_at", "description", "footer")


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("invoice", call.id)


def list_(world: World, call: Call) -> Json:
    customer, status = call.params.get("customer"), call.params.get("status")
    subscription = call.params.get("subscription")
    rows = [
        invoice
        for invoice in world.store.all("invoice")
        if customer in (None, invoice["customer"])
        and status in (None, invoice["status"])
        and subscription in (None, collection.subscription_id(invoice))
        and within(call.params.get("created"), invoice["created"])
    ]
    return page(world, "/v1/invoices", rows, call.params)


def list_lines(world: World, call: Call) -> Json:
    invoice = world.fetch("invoice", call.id)
    lines.refresh(world, invoice)
    rows = invoice["lines"]["data"]
    return page(world, invoice["lines"]["url"], rows, call.params, newest_first=False)


def update(world: World, call: Call) -> Json:
    invoice = world.fetch("invoice", call.id)
    changes = {name: value for name, value in call.params.items() if name != "expand"}
    if invoice["status"] != "draft" and set(DRAFT_ONLY) & set(changes):
        raise invalid(
            "Finalized invoices can't be updated in this way", code="invoice_not_editable"
        )
    if "metadata" in changes:
        changes["metadata"] = merged(invoice["metadata"], changes["metadata"])
    with updating(world, invoice, "invoice.updated"):
        invoice |= changes
        if "auto_advance" in changes or "automatically_finalizes_at" in changes:
            plan(world, invoice)
    return invoice


def plan(world: World, invoice: Json) -> None:
    """Have a draft finalised, or an open invoice collected, by itself; or leave off."""
    if not invoice["auto_advance"]:
        invoice |= {"automatically_finalizes_at": None, "next_payment_attempt": None}
    elif invoice["status"] == "draft":
        hour_on = world.now() + 3_600
        invoice["automatically_finalizes_at"] = invoice["automatically_finalizes_at"] or hour_on
        due = invoice["automatically_finalizes_at"]
        world.agenda.add(max(due, world.now()), "invoices.advance", invoice["id"])
    elif invoice["status"] == "open":
        collection.plan(world, invoice, world.now())


def advance(world: World, id: str) -> None:
    """Finalise a draft whose hour has come, unless that was changed meanwhile."""
    invoice = world.fetch("invoice", id)
    due = invoice["automatically_finalizes_at"]
    if invoice["status"] == "draft" and due and due <= world.now():
        finalize_now(world, invoice)


def finalize(world: World, call: Call) -> Json:
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] != "draft":
        raise invalid(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice."
        )
    invoice["auto_advance"] = call.params.get("auto_advance", invoice["auto_advance"])
    finalize_now(world, invoice)
    return invoice


def finalize_now(world: World, invoice: Json) -> None:
    """Freeze lines and sums, number it, and have it paid if it is to be paid by itself."""
    lines.refresh(world, invoice)
    customer = world.fetch("customer", invoice["customer"])
    invoice |= {
        "status": "open",
        "automatically_finalizes_at": None,
        "effective_at": world.now(),
        "ending_balance": invoice["_carried"],
        "hosted_invoice_url": f"{world.url}/invoice/{invoice['id']}",
        "invoice_pdf": f"{world.url}/invoice/{invoice['id']}/pdf",
        "number": f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04}",
    }
    invoice["status_transitions"]["finalized_at"] = world.now()
    customer["next_invoice_sequence"] += 1
    customer["balance"] = invoice["_carried"]
    world.store.put(customer)
    if invoice["amount_due"]:
        collection.expect(world, invoice)
    world.store.put(invoice)
    emit(world, "invoice.finalized", invoice)
    if not invoice["amount_due"]:
        collection.settle(world, invoice)
    elif invoice["auto_advance"]:
        collection.plan(world, invoice, world.now())


def pay(world: World, call: Call) -> Json:
    """Try it now. A card that is declined is a 402, and counts as an attempt."""
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"Invoice is {invoice['status']}, and cannot be paid.")
    if call.params.get("paid_out_of_band"):
        collection.pay_outside(world, invoice)
        return invoice
    refusal = collection.attempt(world, invoice, call.params.get("payment_method"))
    if refusal:
        raise refusal
    return invoice


def void(world: World, call: Call) -> Json:
    return closed(world, call, "void", "voided", ("open", "uncollectible"))


def mark_uncollectible(world: World, call: Call) -> Json:
    return closed(world, call, "uncollectible", "marked_uncollectible", ("open",))


def closed(world: World, call: Call, status: str, verb: str, allowed: tuple[str, ...]) -> Json:
    invoice = world.fetch("invoice", call.id)
    if invoice["status"] not in allowed:
        raise invalid(f"You can only pass in {' or '.join(allowed)} invoices.")
    invoice |= {"status": status, "next_payment_attempt": None}
    invoice["status_transitions"][f"{verb}_at"] = world.now()
    if status == "void":
        collection.call_off(world, invoice)
        invoice["amount_remaining"] = 0
    world.store.put(invoice)
    emit(world, f"invoice.{verb}", invoice)
    collection.recover(world, invoice)
    return invoice
