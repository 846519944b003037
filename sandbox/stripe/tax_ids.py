"""Tax ids of customers: kept, and never verified."""

from sandbox.stripe.answers import page
from sandbox.stripe.errors import no_such
from sandbox.stripe.events import emit
from sandbox.stripe.shapes import text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {"type": text, "value": text}


def create(world: World, call: Call) -> Json:
    customer = world.customer(call.id)
    tax_id = {
        "id": new_id("txi"),
        "object": "tax_id",
        "country": call.params["type"].partition("_")[0].upper(),
        "created": world.now(),
        "customer": customer["id"],
        "livemode": False,
        "owner": {"type": "customer", "customer": customer["id"]},
        "type": call.params["type"],
        "value": call.params["value"],
        "verification": None,
    }
    world.store.put(tax_id)
    emit(world, "customer.tax_id.created", tax_id)
    return tax_id


def of(world: World, customer: str) -> list[Json]:
    return [tax_id for tax_id in world.store.all("tax_id") if tax_id["customer"] == customer]


def list_(world: World, call: Call) -> Json:
    customer = world.customer(call.id)["id"]
    return page(world, f"/v1/customers/{customer}/tax_ids", of(world, customer), call.params)


def delete(world: World, call: Call) -> Json:
    customer, id = call.ids
    tax_id = world.fetch("tax_id", id)
    if tax_id["customer"] != customer:
        raise no_such("tax_id", id)
    world.store.delete("tax_id", id)
    emit(world, "customer.tax_id.deleted", tax_id)
    return {"id": id, "object": "tax_id", "deleted": True}
