"""How objects leave: without what is the local Stripe's own, expanded, in pages."""

from collections.abc import Iterable
from typing import Any

from sandbox.stripe import lines
from sandbox.stripe.errors import invalid
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

# Lists that stay away unless they are asked for, and what each object keeps them under.
ON_REQUEST = {
    ("price", "tiers"): "_tiers",
    ("invoice", "payments"): "_payments",
    ("charge", "refunds"): "_refunds",
}
KINDS = {
    "cus": "customer",
    "prod": "product",
    "price": "price",
    "mtr": "billing.meter",
    "pm": "payment_method",
    "seti": "setup_intent",
    "cs": "checkout.session",
    "bpc": "billing_portal.configuration",
    "sub": "subscription",
    "in": "invoice",
    "pi": "payment_intent",
    "ch": "charge",
    "re": "refund",
    "du": "dispute",
}


def render(world: World, row: Json, expand: Iterable[str] = ()) -> Json:
    """A copy to send, with the fields at these paths (`latest_invoice.payments`) expanded."""
    copy = public(world, row)
    for path in expand:
        expand_path(world, copy, path.split("."))
    return copy


def public(world: World, row: Json) -> Json:
    if row.get("deleted"):
        return {name: row[name] for name in ("id", "object", "deleted")}
    if row["object"] == "invoice":
        lines.refresh(world, row)
    copy = {name: without_own(value) for name, value in row.items() if name[0] != "_"}
    if row["object"] == "subscription":
        for item in copy["items"]["data"]:
            item["price"] = public(world, world.fetch("price", item["price"]))
    return copy


def without_own(value: Any) -> Any:
    if isinstance(value, list):
        return [without_own(inner) for inner in value]
    if isinstance(value, dict):
        own = "_" if "object" in value else ()  # metadata may begin with what it likes
        return {k: without_own(inner) for k, inner in value.items() if not k.startswith(own)}
    return value


def expand_path(world: World, copy: Any, path: list[str]) -> None:
    """Expand one path within a copy that is to be sent; lists are walked through."""
    if isinstance(copy, list):
        for inner in copy:
            expand_path(world, inner, path)
        return
    if not isinstance(copy, dict) or not path:
        return
    field, *rest = path
    copy[field] = expanded(world, copy, field)
    expand_path(world, copy[field], rest)


def expanded(world: World, copy: Json, field: str) -> Any:
    """The field with the object that it names in its place."""
    own = ON_REQUEST.get((copy.get("object", ""), field))
    if own:
        original = world.fetch(copy["object"], copy["id"])
        return as_list(world, original, field, original[own])
    if field not in copy:
        raise invalid(f"This property cannot be expanded ({field}).", "expand")
    value = copy[field]
    if not isinstance(value, str):
        return value
    kind = KINDS.get(value.partition("_")[0])
    found = kind and world.store.get(kind, value)
    if not found:
        raise invalid(f"This property cannot be expanded ({field}).", "expand")
    return public(world, found)


def as_list(world: World, original: Json, field: str, own: list[Any]) -> Any:
    """The tiers of a price are a bare array; all else is a list object of what the ids name."""
    if field == "tiers":
        return own
    kind = {"payments": "invoice_payment", "refunds": "refund"}[field]
    rows = [public(world, world.fetch(kind, id)) for id in own]
    url = {"payments": "/v1/invoice_payments", "refunds": f"/v1/charges/{original['id']}/refunds"}
    return {"object": "list", "data": rows, "has_more": False, "url": url[field]}


def page(world: World, url: str, rows: list[Json], params: Json, newest_first: bool = True) -> Json:
    """One page of a list, from the cursor on that the parameters name."""
    ordered = rows[::-1] if newest_first else rows
    limit = params.get("limit", 10)
    if not 1 <= limit <= 100:
        raise invalid("Invalid limit: it must be between 1 and 100", "limit")
    part, more = cut(ordered, limit, params.get("starting_after"), params.get("ending_before"))
    expand = [within_data(path) for path in params.get("expand", [])]
    data = [render(world, row, expand) for row in part]
    return {"object": "list", "url": url, "has_more": more, "data": data}


def within_data(path: str) -> str:
    if not path.startswith("data."):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    return path.removeprefix("data.")


def cut(
    rows: list[Json], limit: int, after: str | None, before: str | None
) -> tuple[list[Json], bool]:
    """Up to `limit` rows behind the one with the id `after`, or before the one with `before`."""
    if before:
        end = position(rows, before, "ending_before")
        return rows[max(0, end - limit) : end], end > limit
    start = position(rows, after, "starting_after") + 1 if after else 0
    return rows[start : start + limit], len(rows) > start + limit


def position(rows: list[Json], id: str, param: str) -> int:
    for place, row in enumerate(rows):
        if row["id"] == id:
            return place
    raise invalid(f"No such object: '{id}'", param, "resource_missing")
