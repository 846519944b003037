"""Subscriptions to metered prices, from one calendar month to the next."""

from sandbox.stripe import anchors, cards, cycles, drafts
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid, unknown
from sandbox.stripe.events import emit, updating
from sandbox.stripe.periods import next_after
from sandbox.stripe.shapes import (
    boolean,
    choice,
    clearable,
    either,
    integer,
    merged,
    metadata,
    off,
    span,
    text,
    within,
)
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

NO_TAX = {"enabled": off}
REASON = {"comment": text, "feedback": text}
ANCHOR = {name: integer for name in ("day_of_month", "hour", "minute", "second")}
CREATE = {
    "automatic_tax": NO_TAX,
    "backdate_start_date": integer,
    "billing_cycle_anchor": integer,
    "billing_cycle_anchor_config": ANCHOR,
    "billing_mode": {"type": choice("flexible")},
    "collection_method": choice("charge_automatically"),
    "currency": text,
    "customer": text,
    "default_payment_method": text,
    "description": text,
    "items": [{"price": text, "metadata": metadata}],
    "metadata": metadata,
    "off_session": boolean,
    "payment_behavior": choice("allow_incomplete", "error_if_incomplete"),
    # With `none` Stripe gives the time before the anchor away; whether metered usage, too, is not
    # said, so that nobody may find it out here.
    "proration_behavior": choice("create_prorations"),
}
UPDATE = {
    "automatic_tax": NO_TAX,
    "cancel_at": clearable(either("min_period_end", integer)),
    "cancel_at_period_end": boolean,
    "cancellation_details": REASON,
    "default_payment_method": clearable(text),
    "description": clearable(text),
    "metadata": metadata,
}
CANCEL = {"invoice_now": boolean, "prorate": boolean, "cancellation_details": REASON}
LIST = {"customer": text, "price": text, "status": text, "created": span}


def create(world: World, call: Call) -> Json:
    params = call.params
    customer = world.customer(params["customer"], "customer", 400)
    prices = [price_of(world, item) for item in params["items"]]
    if card := params.get("default_payment_method"):
        cards.of_customer(world, card, customer["id"], "default_payment_method")
    anchor = anchors.anchor_of(world, params)
    start = anchors.start_of(world, params, anchor)
    subscription = blank(world, params, anchor, start)
    subscription["items"]["data"] = [
        item_of(world, subscription, price, item.get("metadata", {}))
        for price, item in zip(prices, params["items"], strict=True)
    ]
    world.store.put(subscription)
    world.agenda.add(cycles.period_of(subscription)[1], "cycles.renew", subscription["id"])
    emit(world, "customer.subscription.created", subscription)
    return subscription


def price_of(world: World, item: Json) -> Json:
    if "price" not in item:
        raise invalid("An item needs a price.", "items[0][price]", "parameter_missing")
    price = world.named("price", item["price"], "items[0][price]")
    if not price["active"]:
        raise invalid(f"The price specified is inactive: {price['id']}.", "items[0][price]")
    return price


def blank(world: World, params: Json, anchor: int, start: int) -> Json:
    id = new_id("sub")
    config = params.get("billing_cycle_anchor_config")
    return {
        "id": id,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": anchor,
        "billing_cycle_anchor_config": config and {**dict.fromkeys((*ANCHOR, "month")), **config},
        "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": None,
        "cancel_at_period_end": False,
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": world.now(),
        "currency": "",
        "customer": params["customer"],
        "days_until_due": None,
        "default_payment_method": params.get("default_payment_method"),
        "default_source": None,
        "default_tax_rates": [],
        "description": params.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "items": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/subscription_items?subscription={id}",
        },
        "latest_invoice": None,
        "livemode": False,
        "metadata": params.get("metadata", {}),
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": start,
        "status": "active",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": None,
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        "trial_start": None,
    }


def item_of(world: World, subscription: Json, price: Json, metadata: dict[str, str]) -> Json:
    subscription["currency"] = price["currency"]
    start = subscription["start_date"]
    return {
        "id": new_id("si", 14),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": world.now(),
        "current_period_end": next_after(subscription["billing_cycle_anchor"], start),
        "current_period_start": start,
        "discounts": [],
        "metadata": metadata,
        "price": price["id"],  # shown whole, as the price is then
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("subscription", call.id)


def update(world: World, call: Call) -> Json:
    subscription = world.fetch("subscription", call.id)
    if subscription["status"] in cycles.ENDED:
        raise invalid("A canceled subscription can only update its cancellation_details.")
    changes = {name: value for name, value in call.params.items() if name != "expand"}
    if card := changes.get("default_payment_method"):
        cards.of_customer(world, card, subscription["customer"], "default_payment_method")
    with updating(world, subscription, "customer.subscription.updated"):
        plan_end(world, subscription, changes)
        for name in ("default_payment_method", "description"):
            subscription[name] = changes.get(name, subscription[name])
        if "metadata" in changes:
            subscription["metadata"] = merged(subscription["metadata"], changes["metadata"])
    return subscription


def plan_end(world: World, subscription: Json, changes: Json) -> None:
    """Have it end with the period, or not after all; another moment is not known here."""
    end = cycles.period_of(subscription)[1]
    if changes.get("cancel_at") not in (None, "min_period_end", end):
        raise unknown("cancel_at within a period")
    if "cancel_at" not in changes and "cancel_at_period_end" not in changes:
        return
    ends = bool(changes.get("cancel_at") or changes.get("cancel_at_period_end"))
    reason = changes.get("cancellation_details", {})
    subscription |= {
        "cancel_at": end if ends else None,
        "cancel_at_period_end": bool(changes.get("cancel_at_period_end")),
        "canceled_at": world.now() if ends else None,
    }
    details(subscription, reason, "cancellation_requested" if ends else None)


def details(subscription: Json, given: Json, reason: str | None) -> None:
    subscription["cancellation_details"] = {
        "comment": given.get("comment"),
        "feedback": given.get("feedback") or None,
        "reason": reason,
    }


def cancel(world: World, call: Call) -> Json:
    """At once. The usage of the running period is billed on demand only, as with Stripe."""
    subscription = world.fetch("subscription", call.id)
    if subscription["status"] in cycles.ENDED:
        raise invalid(f"No such subscription: {call.id}", "id", "resource_missing", 404)
    details(subscription, call.params.get("cancellation_details", {}), "cancellation_requested")
    if call.params.get("invoice_now"):
        start = cycles.period_of(subscription)[0]
        drafts.create(world, subscription, cycles.spans_of(subscription, start, world.now()))
    cycles.end_now(world, subscription)
    return subscription


def list_(world: World, call: Call) -> Json:
    """Without a status all but those that have ended."""
    customer, price = call.params.get("customer"), call.params.get("price")
    rows = [
        subscription
        for subscription in world.store.all("subscription")
        if customer in (None, subscription["customer"])
        and has_status(subscription, call.params.get("status"))
        and (not price or price in [item["price"] for item in subscription["items"]["data"]])
        and within(call.params.get("created"), subscription["created"])
    ]
    return page(world, "/v1/subscriptions", rows, call.params)


def has_status(subscription: Json, wanted: str | None) -> bool:
    if wanted == "all":
        return True
    if wanted in (None, "ended"):
        return (subscription["status"] in cycles.ENDED) == (wanted == "ended")
    return bool(subscription["status"] == wanted)
