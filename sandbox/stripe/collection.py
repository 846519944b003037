"""Getting an open invoice paid: attempts, retries, and what they do to the subscription."""

from sandbox.stripe import payments
from sandbox.stripe.errors import Refusal, invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

DAY = 86_400
# After the first, second and third failed attempt; then the invoice stays open and unpaid.
RETRIES = (3 * DAY, 5 * DAY, 7 * DAY)


def subscription_id(invoice: Json) -> str:
    return str(invoice["parent"]["subscription_details"]["subscription"])


def subscription_of(world: World, invoice: Json) -> Json:
    return world.fetch("subscription", subscription_id(invoice))


def expect(world: World, invoice: Json) -> None:
    """Make the payment that the invoice waits for."""
    payment = payments.create(world, invoice)
    invoice["_payments"].append(payment["id"])


def plan(world: World, invoice: Json, due: int) -> None:
    invoice["next_payment_attempt"] = due
    world.store.put(invoice)
    world.agenda.add(due, "collection.collect", invoice["id"])


def collect(world: World, id: str) -> None:
    """Attempt it if its time has come, unless that was changed meanwhile."""
    invoice = world.fetch("invoice", id)
    due = invoice["next_payment_attempt"]
    if invoice["status"] == "open" and due and due <= world.now():
        attempt(world, invoice, None)


def attempt(world: World, invoice: Json, method: str | None) -> Refusal | None:
    """Charge the card that is given, the subscription's or the customer's; give the refusal."""
    subscription = subscription_of(world, invoice)
    customer = world.fetch("customer", invoice["customer"])
    method = method or subscription["default_payment_method"]
    method = method or customer["invoice_settings"]["default_payment_method"]
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    payment = world.fetch("invoice_payment", invoice["_payments"][-1])
    if method is None:
        refusal: Refusal | None = invalid("The customer has no default payment method.")
    else:
        refusal = payments.charge(world, invoice, payment, method)
    if refusal:
        fail(world, invoice, subscription)
    else:
        paid = invoice["amount_remaining"]
        invoice |= {"amount_paid": invoice["amount_paid"] + paid, "amount_remaining": 0}
        settle(world, invoice)
    return refusal


def fail(world: World, invoice: Json, subscription: Json) -> None:
    wait = dict(enumerate(RETRIES, 1)).get(invoice["attempt_count"])
    invoice["next_payment_attempt"] = None
    if invoice["auto_advance"] and wait:
        plan(world, invoice, world.now() + wait)
    world.store.put(invoice)
    emit(world, "invoice.payment_failed", invoice)
    set_delinquent(world, invoice, True)
    if subscription["status"] == "active":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"


def pay_outside(world: World, invoice: Json) -> None:
    invoice["_payments"].append(payments.record(world, invoice)["id"])
    invoice |= {"amount_paid": invoice["amount_remaining"], "amount_remaining": 0}
    settle(world, invoice)


def settle(world: World, invoice: Json) -> None:
    """Nothing is owed any more."""
    invoice |= {"status": "paid", "attempted": True, "next_payment_attempt": None}
    invoice["auto_advance"] = False
    invoice["status_transitions"]["paid_at"] = world.now()
    world.store.put(invoice)
    emit(world, "invoice.paid", invoice)
    emit(world, "invoice.payment_succeeded", invoice)
    recover(world, invoice)


def call_off(world: World, invoice: Json) -> None:
    for id in invoice["_payments"]:
        payments.cancel(world, world.fetch("invoice_payment", id))


def recover(world: World, invoice: Json) -> None:
    """A subscription is in good standing again once no attempted invoice of it is open."""
    if not world.fetch("customer", invoice["customer"])["delinquent"]:
        return
    subscription = subscription_of(world, invoice)
    unpaid = [
        other
        for other in world.store.all("invoice")
        if subscription_id(other) == subscription["id"]
        and other["status"] == "open"
        and other["attempted"]
    ]
    if unpaid:
        return
    set_delinquent(world, invoice, False)
    if subscription["status"] == "past_due":
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["status"] = "active"


def set_delinquent(world: World, invoice: Json, delinquent: bool) -> None:
    customer = world.fetch("customer", invoice["customer"])
    if not customer.get("deleted") and customer["delinquent"] != delinquent:
        with updating(world, customer, "customer.updated"):
            customer["delinquent"] = delinquent
