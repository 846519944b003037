"""Every endpoint and parameter that the local Stripe takes, held to Stripe's schema."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stripe.routes import ROUTES, Route
from tests.local_stripe import Shop, advance, at, control, open_shop
from tests.stripe_schema import documented_faults, hints_of, parameter_type, template_of

Json = dict[str, Any]


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def ask(shop: Shop, method: str, path: str, **params: Any) -> Json:
    answer: Json = shop.client.raw_request(method, path, **params).data
    return answer


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_stripe_knows_what_the_local_one_takes(route: Route) -> None:
    path = route.path.replace("{}", "x_1")
    known = set(hints_of(parameter_type(route.method, path)))
    assert set(route.takes) <= (known if path.startswith("/v1/") else known | {"page"})
    assert set(route.needs) <= set(route.takes)
    if path.startswith("/v1/"):
        params = dict.fromkeys(route.takes)
        faults = documented_faults(route.method, template_of(path), params)
        unknown = [name for name, fault in faults if fault.endswith("unknown")]
        assert unknown in ([], ["allowed_payment_method_types"])


def test_what_is_needed_by_stripe_is_needed_here() -> None:
    for route in ROUTES:
        path = route.path.replace("{}", "x_1")
        if path.startswith("/v1/"):
            needed = {name for name, _ in documented_faults(route.method, template_of(path), {})}
            assert needed <= set(route.needs), route


def test_all_of_a_customer(shop: Shop) -> None:
    plain: Json = {
        "address": {"line1": "1 Main St", "line2": "", "city": "Berlin", "country": "DE"},
        "description": "one",
        "email": "owner@example.com",
        "invoice_settings": {"footer": "Thanks"},
        "metadata": {"_a": "1"},
        "name": "Owner",
        "phone": "+49",
        "preferred_locales": ["de"],
        "tax_exempt": "exempt",
    }
    made = ask(shop, "post", "/v1/customers", **plain)
    assert made["metadata"] == {"_a": "1"}
    path = f"/v1/customers/{made['id']}"
    assert ask(shop, "post", path, **plain)["tax_exempt"] == "exempt"
    assert ask(shop, "get", path)["address"]["line2"] is None
    assert ask(shop, "get", "/v1/customers", created={"gte": made["created"]})["data"]
    tax_id = ask(shop, "post", f"{path}/tax_ids", type="eu_vat", value="DE1")
    assert ask(shop, "delete", f"{path}/tax_ids/{tax_id['id']}")["deleted"]
    card = ask(shop, "post", "/v1/payment_methods/pm_card_mastercard/attach", customer=made["id"])
    assert ask(shop, "get", f"/v1/payment_methods/{card['id']}")["card"]["brand"] == "mastercard"
    cards = ask(shop, "get", "/v1/payment_methods", customer=made["id"], type="card")
    assert [one["id"] for one in cards["data"]] == [card["id"]]
    assert ask(shop, "get", f"{path}/payment_methods", type="card")["data"]


def test_all_of_a_checkout(shop: Shop) -> None:
    customer = shop.customer()
    params: Json = {
        "mode": "setup",
        "allowed_payment_method_types": ["card"],
        "billing_address_collection": "auto",
        "cancel_url": "http://shop/no",
        "client_reference_id": "7",
        "currency": "usd",
        "customer": customer,
        "locale": "de",
        "metadata": {"a": "1"},
        "setup_intent_data": {"description": "card", "metadata": {"b": "2"}},
        "success_url": "http://shop/ok",
        "tax_id_collection": {"enabled": False},
        "ui_mode": "hosted_page",
    }
    session = ask(shop, "post", "/v1/checkout/sessions", **params)
    listed = ask(shop, "get", "/v1/checkout/sessions", customer=customer, status="open")
    assert [one["client_reference_id"] for one in listed["data"]] == ["7"]
    intent = ask(shop, "get", f"/v1/setup_intents/{session['setup_intent']}")
    assert (intent["description"], intent["metadata"]) == ("card", {"b": "2"})


def test_all_of_the_portal(shop: Shop) -> None:
    params: Json = {
        "business_profile": {
            "headline": "mnistapi",
            "privacy_policy_url": "https://shop/privacy",
            "terms_of_service_url": "https://shop/terms",
        },
        "default_return_url": "https://shop/",
        "features": {
            "customer_update": {"enabled": True, "allowed_updates": ["email", "phone"]},
            "invoice_history": {"enabled": True},
            "payment_method_update": {"enabled": True},
            "subscription_cancel": {
                "enabled": True,
                "mode": "immediately",
                "proration_behavior": "none",
                "cancellation_reason": {"enabled": True, "options": ["too_expensive"]},
            },
            "subscription_update": {"enabled": False},
        },
        "metadata": {"a": "1"},
        "name": "plain",
    }
    base = "/v1/billing_portal"
    made = ask(shop, "post", f"{base}/configurations", **params)
    changed = ask(shop, "post", f"{base}/configurations/{made['id']}", active=False, **params)
    assert (changed["active"], changed["name"]) == (False, "plain")
    assert ask(shop, "get", f"{base}/configurations/{made['id']}") == changed
    assert not ask(shop, "get", f"{base}/configurations", active=True, is_default=True)["data"]
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    wish = {"customer": customer, "configuration": made["id"], "locale": "de"}
    session = ask(shop, "post", f"{base}/sessions", **wish)
    assert session["return_url"] == "https://shop/"
    shop.press(session["url"], do="cancel", subscription=subscription.id)
    assert ask(shop, "get", f"/v1/subscriptions/{subscription.id}")["status"] == "canceled"


def test_all_of_what_is_sold(shop: Shop) -> None:
    plain: Json = {
        "active": True,
        "description": "Digits",
        "metadata": {"a": "1"},
        "name": "Digits",
        "statement_descriptor": "DIGITS",
        "unit_label": "call",
        "url": "https://shop/",
    }
    product = ask(shop, "post", "/v1/products", id="digits", **plain)
    assert (product["id"], product["unit_label"]) == ("digits", "call")
    ask(shop, "post", "/v1/products/digits", **{**plain, "active": False})
    assert not ask(shop, "get", "/v1/products/digits")["active"]
    assert not ask(shop, "get", "/v1/products", active=True, ids=["digits"])["data"]

    meter = ask(
        shop,
        "post",
        "/v1/billing/meters",
        display_name="Digits",
        event_name="digits",
        default_aggregation={"formula": "sum"},
        event_time_window="day",
        customer_mapping={"type": "by_id", "event_payload_key": "who"},
        value_settings={"event_payload_key": "units"},
    )
    recurring = {"interval": "month", "interval_count": 1, "usage_type": "metered"}
    price = ask(
        shop,
        "post",
        "/v1/prices",
        active=True,
        billing_scheme="per_unit",
        currency="eur",
        metadata={"a": "1"},
        nickname="plain",
        product="digits",
        recurring={**recurring, "meter": meter["id"]},
        tax_behavior="exclusive",
        unit_amount=2,
    )
    assert (price["unit_amount"], price["unit_amount_decimal"]) == (2, "2")
    changed = ask(
        shop,
        "post",
        f"/v1/prices/{price['id']}",
        active=False,
        lookup_key="standard",
        metadata={"a": ""},
        nickname="",
        transfer_lookup_key=True,
    )
    assert (changed["lookup_key"], changed["nickname"]) == ("standard", None)
    assert (changed["active"], changed["metadata"]) == (False, {})
    wanted = {"currency": "eur", "product": "digits", "type": "recurring"}
    found = ask(shop, "get", "/v1/prices", recurring={"meter": meter["id"]}, **wanted)
    assert [one["id"] for one in found["data"]] == [price["id"]]
    customer = shop.customer()
    payload = {"who": customer, "units": "3"}
    ask(shop, "post", "/v1/billing/meter_events", event_name="digits", payload=payload)
    advance(shop.local, 3)
    days = {"start_time": at("2026-11-16 00:00"), "end_time": at("2026-11-17 00:00")}
    path = f"/v1/billing/meters/{meter['id']}/event_summaries"
    assert ask(shop, "get", path, customer=customer, **days)["data"][0]["aggregated_value"] == 3


def test_all_of_a_subscription(shop: Shop) -> None:
    customer = shop.customer()
    card = ask(shop, "get", "/v1/payment_methods", customer=customer)["data"][0]["id"]
    subscription = shop.subscribe(
        customer,
        automatic_tax={"enabled": False},
        billing_mode={"type": "flexible"},
        collection_method="charge_automatically",
        currency="usd",
        default_payment_method=card,
        description="plain",
        items=[{"price": shop.price, "metadata": {"a": "1"}}],
        metadata={"b": "2"},
        off_session=True,
        payment_behavior="allow_incomplete",
        proration_behavior="create_prorations",
    ).id
    path = f"/v1/subscriptions/{subscription}"
    reason = {"comment": "so", "feedback": "too_expensive"}
    changed = ask(
        shop,
        "post",
        path,
        automatic_tax={"enabled": False},
        cancel_at_period_end=True,
        cancellation_details=reason,
        default_payment_method="",
        description="",
        metadata={"c": "3"},
    )
    assert changed["cancellation_details"] == {**reason, "reason": "cancellation_requested"}
    assert changed["metadata"] == {"b": "2", "c": "3"}
    assert (changed["default_payment_method"], changed["description"]) == (None, None)
    found = ask(shop, "get", "/v1/subscriptions", price=shop.price, created=changed["created"])
    assert [one["id"] for one in found["data"]] == [subscription]
    ended = ask(shop, "delete", path, prorate=False, invoice_now=False, cancellation_details=reason)
    assert ended["status"] == "canceled"
    assert ask(shop, "get", "/v1/subscriptions", status="ended")["data"]


def test_all_of_an_invoice_and_its_money(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 11_000)
    draft = shop.draft(customer)
    words = {"description": "November", "footer": "Thanks", "metadata": {"a": "1"}}
    assert ask(shop, "post", f"/v1/invoices/{draft.id}", **words)["footer"] == "Thanks"
    advance(shop.local, 3)
    ask(shop, "post", f"/v1/invoices/{draft.id}/finalize", auto_advance=False)
    paid = ask(shop, "post", f"/v1/invoices/{draft.id}/pay", off_session=True)
    assert (paid["status"], paid["description"]) == ("paid", "November")
    wanted = {"collection_method": "charge_automatically", "created": {"lte": paid["created"]}}
    assert ask(shop, "get", "/v1/invoices", **wanted)["data"]

    payment = ask(shop, "get", "/v1/invoice_payments", invoice=draft.id, status="paid")["data"][0]
    assert ask(shop, "get", f"/v1/invoice_payments/{payment['id']}") == payment
    intent = payment["payment"]["payment_intent"]
    assert ask(shop, "get", f"/v1/payment_intents/{intent}")["amount_received"] == 500
    charge = ask(shop, "get", "/v1/charges", payment_intent=intent)["data"][0]["id"]
    why = {"reason": "requested_by_customer", "metadata": {"a": "1"}}
    refund = ask(shop, "post", "/v1/refunds", charge=charge, amount=10, **why)
    assert ask(shop, "get", f"/v1/refunds/{refund['id']}") == refund
    assert ask(shop, "get", "/v1/refunds", charge=charge, payment_intent=intent)["data"] == [refund]
    note = ask(
        shop,
        "post",
        "/v1/credit_notes",
        invoice=draft.id,
        amount=20,
        out_of_band_amount=20,
        memo="Sorry",
        metadata={"a": "1"},
        reason="order_change",
    )
    assert ask(shop, "get", f"/v1/credit_notes/{note['id']}") == note
    found = ask(shop, "get", "/v1/credit_notes", customer=customer, invoice=draft.id)["data"]
    assert found == [note]
    dispute = control(shop.local, "POST", "disputes", {"charge": charge})
    control(shop.local, "POST", f"disputes/{dispute['id']}/close", {"won": True})
    found = ask(shop, "get", "/v1/disputes", charge=charge, payment_intent=intent)["data"]
    assert [one["status"] for one in found] == ["won"]


def test_all_of_webhooks_and_destinations(shop: Shop) -> None:
    plain: Json = {"url": shop.receiver.url, "description": "a hook", "metadata": {"a": "1"}}
    hook = ask(
        shop,
        "post",
        "/v1/webhook_endpoints",
        enabled_events=["invoice.paid"],
        api_version="2026-10-28.endive",
        connect=False,
        **plain,
    )
    assert hook["api_version"] == "2026-10-28.endive"
    changed = ask(shop, "post", f"/v1/webhook_endpoints/{hook['id']}", **plain)
    assert (changed["metadata"], changed["description"]) == ({"a": "1"}, "a hook")
    shown = ["webhook_endpoint.url"]
    made = ask(
        shop,
        "post",
        "/v2/core/event_destinations",
        name="thin",
        description="thin ones",
        type="webhook_endpoint",
        event_payload="thin",
        events_from=["@self"],
        enabled_events=["v1.billing.meter.no_meter_found"],
        webhook_endpoint={"url": "http://elsewhere/"},
        metadata={"a": "1"},
    )
    path = f"/v2/core/event_destinations/{made['id']}"
    changed = ask(
        shop,
        "post",
        path,
        description="fewer",
        enabled_events=["v1.billing.meter.error_report_triggered"],
        webhook_endpoint={"url": shop.receiver.url},
        include=shown,
    )
    assert changed["webhook_endpoint"] == {"url": shop.receiver.url}
    assert ask(shop, "get", path, include=shown) == changed
    ask(shop, "post", "/v1/billing/meter_events", event_name="predictions", payload={"value": "1"})
    ask(shop, "post", "/v1/billing/meter_events", event_name="unheard_of", payload={"value": "1"})
    advance(shop.local, 31)
    types = ["v1.billing.meter.error_report_triggered"]
    found = ask(shop, "get", "/v2/core/events", object_id=shop.meter, types=types)["data"]
    assert [one["type"] for one in found] == types
    first = ask(shop, "get", "/v2/core/events", limit=1)
    assert [len(first["data"]), first["next_page_url"]] == [1, "/v2/core/events?limit=1&page=1"]
    assert ask(shop, "get", first["next_page_url"])["next_page_url"] is None
