"""Customers."""

from sandbox.stripe import cards, cycles
from sandbox.stripe.answers import page
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import choice, clearable, merged, metadata, span, text, within
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

ADDRESS = {
    part: clearable(text) for part in ("line1", "line2", "city", "state", "postal_code", "country")
}
CREATE = {
    "address": clearable(ADDRESS),
    "description": text,
    "email": text,
    "invoice_settings": {"default_payment_method": clearable(text), "footer": text},
    "metadata": metadata,
    "name": text,
    "phone": text,
    "preferred_locales": [text],
    "tax_exempt": choice("none", "exempt", "reverse"),
}
LIST = {"email": text, "created": span}


def create(world: World, call: Call) -> Json:
    id = new_id("cus", 14)
    customer: Json = {
        "id": id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": id[4:12].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    change(world, customer, call.params)
    world.store.put(customer)
    emit(world, "customer.created", customer)
    return customer


def change(world: World, customer: Json, params: Json) -> None:
    changes = {name: value for name, value in params.items() if name != "expand"}
    settings = changes.pop("invoice_settings", {})
    if card := settings.get("default_payment_method"):
        cards.of_customer(world, card, customer["id"], "invoice_settings[default_payment_method]")
    customer["invoice_settings"] = {**customer["invoice_settings"], **settings}
    if "metadata" in changes:
        changes["metadata"] = merged(customer["metadata"], changes["metadata"])
    if changes.get("address"):
        changes["address"] = {part: changes["address"].get(part) for part in ADDRESS}
    customer |= changes


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("customer", call.id)


def update(world: World, call: Call) -> Json:
    customer = world.customer(call.id)
    with updating(world, customer, "customer.updated"):
        change(world, customer, call.params)
    return customer


def delete(world: World, call: Call) -> Json:
    """His subscriptions end with him."""
    customer = world.customer(call.id)
    for subscription in cycles.living_of(world, customer["id"]):
        cycles.end_now(world, subscription)
    emit(world, "customer.deleted", customer)
    customer["deleted"] = True
    return world.store.put(customer)


def list_(world: World, call: Call) -> Json:
    email = call.params.get("email")
    rows = [
        customer
        for customer in world.store.all("customer")
        if not customer.get("deleted")
        and email in (None, customer["email"])
        and within(call.params.get("created"), customer["created"])
    ]
    return page(world, "/v1/customers", rows, call.params)
