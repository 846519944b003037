"""The billing portal: its configuration, its sessions, and what its page does."""

from typing import Any

from sandbox.stripe import cards, customers, subscriptions, tax_ids
from sandbox.stripe.answers import page
from sandbox.stripe.errors import invalid
from sandbox.stripe.events import emit, updating
from sandbox.stripe.shapes import boolean, choice, clearable, merged, metadata, off, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

FEATURES = {
    "customer_update": {
        "enabled": boolean,
        "allowed_updates": [choice("address", "email", "name", "phone", "tax_id")],
    },
    "invoice_history": {"enabled": boolean},
    "payment_method_update": {"enabled": boolean},
    "subscription_cancel": {
        "enabled": boolean,
        "mode": choice("at_period_end", "immediately"),
        "proration_behavior": choice("none"),
        "cancellation_reason": {"enabled": boolean, "options": [text]},
    },
    "subscription_update": {"enabled": off},
}
UPDATE = {
    "active": boolean,
    "business_profile": {
        "headline": clearable(text),
        "privacy_policy_url": text,
        "terms_of_service_url": text,
    },
    "default_return_url": clearable(text),
    "features": FEATURES,
    "metadata": metadata,
    "name": clearable(text),
}
CREATE = {name: shape for name, shape in UPDATE.items() if name != "active"}
LIST = {"active": boolean, "is_default": boolean}
SIMPLE = ("name", "email", "phone")  # details of a customer that are one text
CREATE_SESSION = {"customer": text, "configuration": text, "return_url": text, "locale": text}
DEFAULT_FEATURES: dict[str, Json] = {
    "customer_update": {"enabled": False, "allowed_updates": []},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "options": []},
        "enabled": False,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
    "subscription_update": {
        "default_allowed_updates": [],
        "enabled": False,
        "proration_behavior": "none",
        "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}


def create(world: World, call: Call) -> Json:
    configuration = {
        "id": new_id("bpc"),
        "object": "billing_portal.configuration",
        "active": True,
        "application": None,
        "business_profile": dict.fromkeys(
            ("headline", "privacy_policy_url", "terms_of_service_url")
        ),
        "created": world.now(),
        "default_return_url": None,
        "features": DEFAULT_FEATURES,
        "is_default": not world.store.all("billing_portal.configuration"),
        "livemode": False,
        "login_page": {"enabled": False, "url": None},
        "metadata": {},
        "name": None,
        "updated": world.now(),
    }
    change(configuration, call.params)
    world.store.put(configuration)
    emit(world, "billing_portal.configuration.created", configuration)
    return configuration


def change(configuration: Json, params: Json) -> None:
    """Features that are named are changed, field by field; the others stay."""
    changes = {name: value for name, value in params.items() if name != "expand"}
    features: dict[str, Any] = changes.pop("features", {})
    old = configuration["features"]
    changes["features"] = {name: {**old[name], **features.get(name, {})} for name in old}
    if "business_profile" in changes:
        changes["business_profile"] = {
            **configuration["business_profile"],
            **changes["business_profile"],
        }
    if "metadata" in changes:
        changes["metadata"] = merged(configuration["metadata"], changes["metadata"])
    configuration |= changes


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("billing_portal.configuration", call.id)


def update(world: World, call: Call) -> Json:
    configuration = world.fetch("billing_portal.configuration", call.id)
    with updating(world, configuration, "billing_portal.configuration.updated"):
        change(configuration, call.params)
    return configuration


def list_(world: World, call: Call) -> Json:
    wanted = {name: call.params[name] for name in LIST if name in call.params}
    rows = [
        configuration
        for configuration in world.store.all("billing_portal.configuration")
        if wanted.items() <= {name: configuration[name] for name in LIST}.items()
    ]
    return page(world, "/v1/billing_portal/configurations", rows, call.params)


def create_session(world: World, call: Call) -> Json:
    customer = world.customer(call.params["customer"], "customer", 400)["id"]
    configuration = configuration_of(world, call.params.get("configuration"))
    id = new_id("bps")
    session = {
        "id": id,
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": world.now(),
        "customer": customer,
        "customer_account": None,
        "flow": None,
        "livemode": False,
        "locale": call.params.get("locale"),
        "on_behalf_of": None,
        "return_url": call.params.get("return_url", configuration["default_return_url"]),
        "url": f"{world.url}/portal/{id}",
    }
    world.store.put(session)
    emit(world, "billing_portal.session.created", session)
    return session


def configuration_of(world: World, id: str | None) -> Json:
    if id:
        return world.named("billing_portal.configuration", id, "configuration")
    for configuration in world.store.all("billing_portal.configuration"):
        if configuration["is_default"]:
            return configuration
    raise invalid("No configuration provided, and no default configuration exists.")


def change_card(world: World, session: Json, card: str) -> None:
    """The new card becomes the customer's default, and that of no subscription."""
    check_allowed(world, session, "payment_method_update")
    customer = world.fetch("customer", session["customer"])
    method = cards.make(world, card, customer["id"])
    with updating(world, customer, "customer.updated"):
        settings = customer["invoice_settings"]
        customer["invoice_settings"] = {**settings, "default_payment_method": method["id"]}


def change_details(world: World, session: Json, given: dict[str, str]) -> None:
    """Name, address and so on, as far as the configuration lets them be changed here."""
    allowed = check_allowed(world, session, "customer_update")["allowed_updates"]
    changes: Json = {name: given[name] for name in SIMPLE if name in allowed and name in given}
    if "address" in allowed:
        changes["address"] = {part: given.get(part) or None for part in customers.ADDRESS}
    customers.update(world, Call([session["customer"]], changes))
    if "tax_id" in allowed and given.get("tax_id"):
        tax_id = {"type": given["tax_id_type"], "value": given["tax_id"]}
        tax_ids.create(world, Call([session["customer"]], tax_id))


def cancel(world: World, session: Json, subscription: str) -> None:
    """At once or at the end of the period, as the configuration says."""
    if check_allowed(world, session, "subscription_cancel")["mode"] == "immediately":
        subscriptions.cancel(world, Call([own(world, session, subscription)["id"]]))
    else:
        wish_end(world, session, subscription, True)


def keep(world: World, session: Json, subscription: str) -> None:
    """Take a cancellation at the end of the period back."""
    wish_end(world, session, subscription, False)


def wish_end(world: World, session: Json, subscription: str, ends: bool) -> None:
    id = own(world, session, subscription)["id"]
    subscriptions.update(world, Call([id], {"cancel_at_period_end": ends}))


def own(world: World, session: Json, subscription: str) -> Json:
    """The subscription, which must be the customer's who is here."""
    found = world.fetch("subscription", subscription)
    if found["customer"] != session["customer"]:
        raise invalid("That subscription belongs to somebody else.")
    return found


def check_allowed(world: World, session: Json, feature: str) -> Json:
    configuration = world.fetch("billing_portal.configuration", session["configuration"])
    allowed: Json = configuration["features"][feature]
    if not allowed["enabled"]:
        raise invalid(f"The portal does not offer {feature}.")
    return allowed
