"""Checkout sessions that set up a card (`mode=setup`)."""

from sandbox.stripe import cards
from sandbox.stripe.answers import page
from sandbox.stripe.errors import declined, invalid
from sandbox.stripe.events import emit
from sandbox.stripe.shapes import choice, metadata, off, text
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, World

CREATE = {
    "mode": choice("setup"),
    "allowed_payment_method_types": [choice("card")],
    "billing_address_collection": choice("auto"),
    "cancel_url": text,
    "client_reference_id": text,
    "currency": text,
    "customer": text,
    "locale": text,
    "metadata": metadata,
    "setup_intent_data": {"description": text, "metadata": metadata},
    "success_url": text,
    "tax_id_collection": {"enabled": off},
    "ui_mode": choice("hosted_page"),
}
LIST = {"customer": text, "status": choice("open", "complete", "expired")}
LIFETIME_SECONDS = 86_400


def create(world: World, call: Call) -> Json:
    params = call.params
    customer = world.customer(params["customer"], "customer", 400)["id"]
    intent = blank_intent(world, customer, params.get("setup_intent_data", {}))
    world.store.put(intent)
    emit(world, "setup_intent.created", intent)
    session = blank(world, params, customer, intent["id"])
    world.agenda.add(session["expires_at"], "checkout.expire_late", session["id"])
    return world.store.put(session)


def blank_intent(world: World, customer: str, data: Json) -> Json:
    id = new_id("seti")
    return {
        "id": id,
        "object": "setup_intent",
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{id}_secret_{new_id('x')[2:]}",
        "created": world.now(),
        "customer": customer,
        "description": data.get("description"),
        "last_setup_error": None,
        "livemode": False,
        "metadata": data.get("metadata", {}),
        "next_action": None,
        "payment_method": None,
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": "off_session",
    }


def blank(world: World, params: Json, customer: str, intent: str) -> Json:
    id = new_id("cs_test", 58)
    return {
        "id": id,
        "object": "checkout.session",
        "allow_promotion_codes": None,
        "amount_subtotal": None,
        "amount_total": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": params.get("billing_address_collection"),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "client_secret": None,
        "created": world.now(),
        "currency": params.get("currency"),
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer": customer,
        "customer_creation": None,
        "customer_email": None,
        "expires_at": world.now() + LIFETIME_SECONDS,
        "invoice": None,
        "livemode": False,
        "locale": params.get("locale"),
        "metadata": params.get("metadata", {}),
        "mode": "setup",
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "always",
        "payment_method_types": ["card"],
        "payment_status": "no_payment_required",
        "setup_intent": intent,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": params["success_url"],
        "ui_mode": "hosted_page",
        "url": f"{world.url}/checkout/{id}",
    }


def complete(world: World, session: Json, card: str) -> str:
    """Set the card up, and give the address to go on to. It does not become the default one."""
    check_open(session)
    intent = world.fetch("setup_intent", session["setup_intent"])
    method = cards.make(world, card, session["customer"])
    intent |= {"status": "succeeded", "payment_method": method["id"], "last_setup_error": None}
    world.store.put(intent)
    emit(world, "setup_intent.succeeded", intent)
    session |= {"status": "complete", "url": None}
    world.store.put(session)
    emit(world, "checkout.session.completed", session)
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def decline(world: World, session: Json) -> None:
    """The bank refuses the card at once; the page can be used again."""
    check_open(session)
    intent = world.fetch("setup_intent", session["setup_intent"])
    error = {k: v for k, v in declined("generic_decline", "").error.items() if k != "charge"}
    intent["last_setup_error"] = error
    world.store.put(intent)
    emit(world, "setup_intent.setup_failed", intent)


def check_open(session: Json) -> None:
    if session["status"] != "open":
        raise invalid(f"This Checkout Session is {session['status']}.")


def expire_late(world: World, id: str) -> None:
    session = world.fetch("checkout.session", id)
    if session["status"] == "open":
        end(world, session)


def end(world: World, session: Json) -> None:
    session |= {"status": "expired", "url": None}
    world.store.put(session)
    emit(world, "checkout.session.expired", session)


def expire(world: World, call: Call) -> Json:
    session = world.fetch("checkout.session", call.id)
    check_open(session)
    end(world, session)
    return session


def retrieve(world: World, call: Call) -> Json:
    return world.fetch("checkout.session", call.id)


def list_(world: World, call: Call) -> Json:
    customer, status = call.params.get("customer"), call.params.get("status")
    rows = [
        session
        for session in world.store.all("checkout.session")
        if customer in (None, session["customer"]) and status in (None, session["status"])
    ]
    return page(world, "/v1/checkout/sessions", rows, call.params)


def retrieve_intent(world: World, call: Call) -> Json:
    return world.fetch("setup_intent", call.id)
