"""Payment methods: Stripe's test cards, by name. No number is ever taken."""

from typing import NamedTuple

from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid, unknown
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import choice, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World


class TestCard(NamedTuple):
    last4: str
    brand: str
    decline_code: str | None = None  # what a charge is declined with


TEST_CARDS = {
    "pm_card_visa": TestCard("4242", "visa"),
    "pm_card_mastercard": TestCard("4444", "mastercard"),
    "pm_card_chargeCustomerFail": TestCard("0341", "visa", "generic_decline"),
}
ATTACH = {"customer": text}
LIST = {"customer": text, "type": choice("card")}
LIST_OF_CUSTOMER = {"type": choice("card")}


def make(world: World, name: str, customer: str) -> Json:
    """A new payment method of this test card, which is the customer's from now on."""
    if name not in TEST_CARDS:
        raise unknown(f"the test card {name}")
    card = TEST_CARDS[name]
    method = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": dict.fromkeys(("address", "email", "name", "phone", "tax_id")),
        "card": {
            "brand": card.brand,
            "checks": None,
            "country": "US",
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": f"fingerprint{card.last4}",
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": world.now(),
        "customer": customer,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_decline_code": card.decline_code,
    }
    world.store.put(method)
    emit(world, "payment_method.attached", method)
    return method


def of_customer(world: World, id: str, customer: str, param: str) -> Json:
    """The payment method, which must be attached to the customer."""
    method = world.named("payment_method", id, param)
    if method["customer"] != customer:
        raise invalid(f"The customer does not have a payment method with the ID {id}.", param)
    return method


def all_of(world: World, customer: str) -> list[Json]:
    return [pm for pm in world.store.all("payment_method") if pm["customer"] == customer]


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("payment_method", call.id)


def attach(world: World, call: Call) -> Json:
    """A test card by its name, or a payment method that belongs to the customer already."""
    customer = world.customer(call.params["customer"], "customer", 400)["id"]
    if call.id in TEST_CARDS:
        return make(world, call.id, customer)
    world.fetch("payment_method", call.id)
    return of_customer(world, call.id, customer, "customer")


def detach(world: World, call: Call) -> Json:
    method = world.fetch("payment_method", call.id)
    owner = world.store.get("customer", method["customer"] or "")
    if owner is None:
        raise invalid("The payment method is not attached to a customer.")
    method["customer"] = None
    world.store.put(method)
    emit(world, "payment_method.detached", method)
    if owner["invoice_settings"]["default_payment_method"] == method["id"]:
        with updating(world, owner, "customer.updated"):
            settings = owner["invoice_settings"]
            owner["invoice_settings"] = {**settings, "default_payment_method": None}
    return method


def list_(world: World, call: Call) -> Json:
    return page(world, "/v1/payment_methods", all_of(world, call.params["customer"]), call.params)


def list_of_customer(world: World, call: Call) -> Json:
    customer = world.fetch("customer", call.id)["id"]
    url = f"/v1/customers/{customer}/payment_methods"
    return page(world, url, all_of(world, customer), call.params)
