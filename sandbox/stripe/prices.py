"""Prices that are metered by the month: so much a unit, or by graduated tiers."""

from decimal import Decimal

from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import (
    boolean,
    choice,
    clearable,
    decimal,
    either,
    integer,
    merged,
    metadata,
    text,
)
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CURRENCIES = ("usd", "eur", "gbp")
CREATE = {
    "active": boolean,
    "billing_scheme": choice("per_unit", "tiered"),
    "currency": choice(*CURRENCIES),
    "lookup_key": text,
    "metadata": metadata,
    "nickname": text,
    "product": text,
    "recurring": {
        "interval": choice("month"),
        "interval_count": choice("1"),
        "meter": text,
        "usage_type": choice("metered"),
    },
    "tax_behavior": choice("unspecified", "exclusive"),
    "tiers": [
        {"up_to": either("inf", integer), "unit_amount": integer, "unit_amount_decimal": decimal}
    ],
    "tiers_mode": choice("graduated"),
    "transfer_lookup_key": boolean,
    "unit_amount": integer,
    "unit_amount_decimal": decimal,
}
UPDATE = {
    "active": boolean,
    "lookup_key": clearable(text),
    "metadata": metadata,
    "nickname": clearable(text),
    "transfer_lookup_key": boolean,
}
LIST = {
    "active": boolean,
    "currency": text,
    "lookup_keys": [text],
    "product": text,
    "recurring": {"interval": text, "meter": text, "usage_type": text},
    "type": text,
}


def create(world: World, call: Call) -> Json:
    params = call.params
    world.named("product", params["product"], "product")
    meter = world.named("billing.meter", params["recurring"]["meter"], "recurring[meter]")
    if meter["status"] != "active":
        raise invalid("The meter is not active.", "recurring[meter]")
    tiered = params.get("billing_scheme", "per_unit") == "tiered"
    check_scheme(params, tiered)
    price = {
        "id": new_id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "tiered" if tiered else "per_unit",
        "created": world.now(),
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": params.get("metadata", {}),
        "nickname": params.get("nickname"),
        "product": params["product"],
        "recurring": {
            "interval": "month",
            "interval_count": 1,
            "meter": meter["id"],
            "usage_type": "metered",
        },
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": params.get("tiers_mode"),
        "transform_quantity": None,
        "type": "recurring",
        **(amounts(None) if tiered else amounts(unit_of(params))),
        "_tiers": tiers(params["tiers"]) if tiered else [],
    }
    take_lookup_key(world, price, params)
    world.store.put(price)
    emit(world, "price.created", price)
    return price


def check_scheme(params: Json, tiered: bool) -> None:
    """Tiers belong to tiered prices, a unit amount to the others."""
    for name in ("tiers", "tiers_mode"):
        if tiered != (name in params):
            raise invalid(f"{name} and billing_scheme=tiered go together.", name)
    if tiered == bool({"unit_amount", "unit_amount_decimal"} & set(params)):
        raise invalid("A unit amount is what a price without tiers has.", "unit_amount")


def unit_of(params: Json) -> Decimal:
    """Cents a unit, of which a price or a tier names one form."""
    if ("unit_amount" in params) == ("unit_amount_decimal" in params):
        raise invalid("Name one of unit_amount and unit_amount_decimal.", "unit_amount")
    given = params["unit_amount"] if "unit_amount" in params else params["unit_amount_decimal"]
    return Decimal(given)


def amounts(unit: Decimal | None) -> Json:
    """Both forms: the integer one is null where a unit costs a fraction of a cent."""
    if unit is None:
        return {"unit_amount": None, "unit_amount_decimal": None}
    whole = unit == unit.to_integral_value()
    written = f"{unit.normalize():f}"
    return {"unit_amount": int(unit) if whole else None, "unit_amount_decimal": written}


def tiers(given: list[Json]) -> list[Json]:
    """As Stripe shows them; their ends must rise, and the last one must have none."""
    ends = [tier.get("up_to") for tier in given]
    numbers = [end for end in ends if isinstance(end, int)]
    rising = all(low < high for low, high in zip([0, *numbers], numbers, strict=False))
    if ends[-1] != "inf" or len(numbers) != len(ends) - 1 or not rising:
        raise invalid("The up_to of tiers must rise, and that of the last be inf.", "tiers")
    return [
        {
            "flat_amount": None,
            "flat_amount_decimal": None,
            **amounts(unit_of(tier)),
            "up_to": None if tier["up_to"] == "inf" else tier["up_to"],
        }
        for tier in given
    ]


def take_lookup_key(world: World, price: Json, params: Json) -> None:
    """A key names one price; it is taken from another one only on demand."""
    if "lookup_key" not in params:
        return
    key = params["lookup_key"]
    for other in world.store.all("price"):
        if key and other["lookup_key"] == key and other["id"] != price["id"]:
            if not params.get("transfer_lookup_key"):
                message = f"A price ({other['id']}) already uses that lookup key."
                raise invalid(message, "lookup_key", "resource_already_exists")
            with updating(world, other, "price.updated"):
                other["lookup_key"] = None
    price["lookup_key"] = key


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("price", call.id)


def update(world: World, call: Call) -> Json:
    price = world.fetch("price", call.id)
    with updating(world, price, "price.updated"):
        take_lookup_key(world, price, call.params)
        for name in {"active", "nickname"} & set(call.params):
            price[name] = call.params[name]
        if "metadata" in call.params:
            price["metadata"] = merged(price["metadata"], call.params["metadata"])
    return price


def list_(world: World, call: Call) -> Json:
    wanted = {
        k: call.params[k] for k in ("active", "currency", "product", "type") if k in call.params
    }
    keys = call.params.get("lookup_keys")
    rows = [
        price
        for price in world.store.all("price")
        if wanted.items() <= price.items()
        and call.params.get("recurring", {}).items() <= price["recurring"].items()
        and (not keys or price["lookup_key"] in keys)
    ]
    return page(world, "/v1/prices", rows, call.params)
