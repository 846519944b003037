"""Products."""

from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import boolean, clearable, merged, metadata, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

UPDATE = {
    "active": boolean,
    "description": clearable(text),
    "metadata": metadata,
    "name": text,
    "statement_descriptor": text,
    "unit_label": clearable(text),
    "url": clearable(text),
}
CREATE = {"id": text, **UPDATE}
LIST = {"active": boolean, "ids": [text]}


def create(world: World, call: Call) -> Json:
    id = call.params.get("id") or new_id("prod", 14)
    if world.store.get("product", id):
        raise invalid("Product already exists.", "id", "resource_already_exists")
    product = {
        "id": id,
        "object": "product",
        "active": True,
        "created": world.now(),
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": call.params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "unit_label": None,
        "updated": world.now(),
        "url": None,
        **{name: value for name, value in call.params.items() if name != "expand"},
    }
    world.store.put(product)
    emit(world, "product.created", product)
    return product


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("product", call.id)


def update(world: World, call: Call) -> Json:
    product = world.fetch("product", call.id)
    changes = {name: value for name, value in call.params.items() if name != "expand"}
    if "metadata" in changes:
        changes["metadata"] = merged(product["metadata"], changes["metadata"])
    with updating(world, product, "product.updated"):
        product |= changes
    return product


def list_(world: World, call: Call) -> Json:
    active, ids = call.params.get("active"), call.params.get("ids")
    rows = [
        product
        for product in world.store.all("product")
        if active in (None, product["active"]) and (not ids or product["id"] in ids)
    ]
    return page(world, "/v1/products", rows, call.params)
