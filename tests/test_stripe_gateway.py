"""The gateway, over HTTP to the local Stripe: each exchange is held to Stripe's schema."""

from collections.abc import Iterator
from typing import Any

import pytest

from billing import stripe_gateway as gateway
from billing.plans import GRADUATED
from sandbox.stripe.server import LocalStripe
from tests.local_stripe import advance, at, checked_stripe, control, sell_support

NOVEMBER, DECEMBER = at("2026-11-01 00:00"), at("2026-12-01 00:00")
NOW = at("2026-11-16 10:30")


@pytest.fixture
def local(settings: Any) -> Iterator[LocalStripe]:
    with checked_stripe(now=NOW) as local:
        settings.STRIPE_API_BASE = local.url
        yield local


@pytest.fixture
def price(local: LocalStripe) -> gateway.Price:
    meter = gateway.create_meter()
    gateway.create_product()
    return gateway.create_price("predictions", GRADUATED, meter)


def customer_with_card(card: str = "pm_card_visa") -> str:
    customer = gateway.create_customer(7, "owner@example.com", f"customer-{card}")
    method = gateway.v1().payment_methods.attach(card, {"customer": customer})
    gateway.make_card_default(customer, method.id)
    return customer


def subscribed(customer: str, price: gateway.Price) -> gateway.Subscription:
    return gateway.create_subscription(customer, price.id, "cs_1", NOVEMBER, DECEMBER, "key-1")


def test_what_is_sold_is_found_again(price: gateway.Price) -> None:
    assert gateway.find_meter() == price.meter
    assert gateway.find_product() == gateway.PRODUCT
    assert gateway.find_price("predictions") == price
    assert gateway.find_price("something else") is None
    assert price.tiers == GRADUATED


def test_a_new_price_takes_the_lookup_key(price: gateway.Price) -> None:
    subscribed(customer_with_card(), price)
    new = gateway.create_price("predictions", GRADUATED[:1] + GRADUATED[-1:], price.meter)
    assert gateway.find_price("predictions") == new
    assert (gateway.count_subscriptions(price.id), gateway.count_subscriptions(new.id)) == (1, 0)


def test_a_customer_is_made_once_for_an_idempotency_key(local: LocalStripe) -> None:
    first = gateway.create_customer(7, "owner@example.com", "key")
    assert gateway.create_customer(7, "owner@example.com", "key") == first


def test_from_usage_to_a_paid_invoice(local: LocalStripe, price: gateway.Price) -> None:
    customer = customer_with_card()
    subscription = subscribed(customer, price)
    assert (subscription.period_start, subscription.period_end) == (NOVEMBER, DECEMBER)
    assert subscription.is_live
    assert gateway.subscriptions_of(customer) == [subscription]
    hour = at("2026-11-16 09:00")
    gateway.send_meter_event(customer, 400, hour)
    gateway.send_meter_event(customer, 3_000, hour + 1)
    advance(local, 5)
    assert gateway.hourly_summaries(customer, NOVEMBER, DECEMBER) == [
        gateway.Summary(hour, hour + 3_600, 3_000)
    ]

    control(local, "POST", "clock", {"to": DECEMBER})
    (draft,) = gateway.list_invoices(customer, "draft")
    assert (draft.subscription, draft.status) == (subscription.id, "draft")
    assert (draft.period_start, draft.period_end) == (NOVEMBER, DECEMBER)
    gateway.set_auto_advance(draft.id, False)
    assert not gateway.retrieve_invoice(draft.id).auto_advance
    assert gateway.finalize_invoice(draft.id).status == "open"
    advance(local, 0)
    invoice = gateway.retrieve_invoice(draft.id)
    assert (invoice.total, invoice.amount_paid, invoice.amount_remaining) == (100, 100, 0)
    assert invoice.payment_intent.startswith("pi_")
    assert (invoice.refunded, invoice.dispute) == (0, "")
    assert [(line.quantity, line.amount) for line in gateway.list_lines(invoice.id)] == [
        (1_000, 0),
        (2_000, 100),
    ]


def test_what_else_a_customer_is_sold_is_none_of_our_subscriptions(
    local: LocalStripe, price: gateway.Price
) -> None:
    customer = customer_with_card()
    ours = subscribed(customer, price)
    metered = sell_support(local, customer, NOVEMBER, DECEMBER)
    assert gateway.subscriptions_of(customer) == [ours]
    assert gateway.is_our_subscription(ours.id)
    assert not gateway.is_our_subscription(metered)
    with local.world.lock:
        flat = local.world.store.all("price")[-1]
        flat["recurring"] = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
        local.world.store.put(flat)
    assert gateway.subscriptions_of(customer) == [ours]


def billed(local: LocalStripe, price: gateway.Price, card: str = "pm_card_visa") -> str:
    """The id of November's invoice over $1.00, when the card was charged."""
    customer = customer_with_card(card)
    subscribed(customer, price)
    gateway.send_meter_event(customer, 3_000, at("2026-11-16 09:00"))
    control(local, "POST", "clock", {"to": DECEMBER + 7_200})
    (invoice,) = gateway.list_invoices(customer)
    return invoice.id


def test_refunds_and_disputes_are_seen_on_the_invoice(
    local: LocalStripe, price: gateway.Price
) -> None:
    id = billed(local, price)
    intent = gateway.retrieve_invoice(id).payment_intent
    charge = gateway.v1().charges.list({"payment_intent": intent}).data[0].id
    gateway.v1().refunds.create({"charge": charge, "amount": 30})
    assert gateway.retrieve_invoice(id).refunded == 30
    control(local, "POST", "disputes", {"charge": charge})
    assert gateway.retrieve_invoice(id).dispute == "needs_response"


@pytest.mark.parametrize("kind", ["payment_record", "charge"])
def test_an_invoice_may_be_paid_by_something_without_an_intent(
    local: LocalStripe, price: gateway.Price, kind: str
) -> None:
    id = billed(local, price, "pm_card_chargeCustomerFail")
    intent = gateway.retrieve_invoice(id).payment_intent
    gateway.v1().invoices.pay(id, {"paid_out_of_band": True})
    with local.world.lock:
        payment = local.world.store.all("invoice_payment")[-1]
        local.world.store.put({**payment, "payment": {"type": kind, kind: "the_payment"}})
    paid = gateway.retrieve_invoice(id)
    assert (paid.status, paid.amount_paid, paid.payment_intent) == ("paid", 100, intent)


def test_of_several_payments_of_an_invoice_the_one_that_paid_is_told(
    local: LocalStripe, price: gateway.Price
) -> None:
    id = billed(local, price)
    intent = gateway.retrieve_invoice(id).payment_intent
    with local.world.lock:
        store = local.world.store
        invoice, (payment,) = store.get("invoice", id), store.all("invoice_payment")
        assert invoice
        earlier = {"type": "payment_intent", "payment_intent": "pi_that_failed"}
        store.put({**payment, "id": "inpay_1", "status": "canceled", "payment": earlier})
        invoice["_payments"].insert(0, "inpay_1")
        store.put(invoice)
    assert gateway.retrieve_invoice(id).payment_intent == intent


def test_a_declined_card_is_a_refusal_with_the_code_of_the_bank(
    local: LocalStripe, price: gateway.Price
) -> None:
    customer = customer_with_card("pm_card_chargeCustomerFail")
    subscribed(customer, price)
    gateway.send_meter_event(customer, 3_000, at("2026-11-16 09:00"))
    control(local, "POST", "clock", {"to": DECEMBER})
    (draft,) = gateway.list_invoices(customer)
    advance(local, 5)
    gateway.finalize_invoice(draft.id)
    with pytest.raises(gateway.StripeRefused) as refused:
        gateway.pay_invoice(draft.id)
    assert refused.value.code == "card_declined"


def test_a_checkout_leads_to_a_page_of_stripes(local: LocalStripe) -> None:
    customer = gateway.create_customer(7, "owner@example.com", "key")
    url = gateway.setup_checkout_url(customer, "http://shop/ok", "http://shop/no")
    session = gateway.retrieve_checkout_session(url.rpartition("/")[2])
    assert session == gateway.CheckoutSession(session.id, customer, False, "")


def test_the_portal_needs_its_configuration(local: LocalStripe) -> None:
    customer = gateway.create_customer(7, "owner@example.com", "key")
    with pytest.raises(gateway.StripeRefused, match="stripe_setup"):
        gateway.portal_url(customer, "http://shop/back")
    gateway.create_portal_configuration("http://shop/back")
    assert gateway.portal_url(customer, "http://shop/back").startswith(f"{local.url}/portal/")


def test_events_that_were_not_delivered_are_listed(local: LocalStripe) -> None:
    types = ["customer.created"]
    address = "http://127.0.0.1:9/"
    gateway.create_customer(7, "owner@example.com", "delivered nowhere, so delivered")
    gateway.find_or_create_webhook_endpoint(address, types)
    lost = gateway.create_customer(8, "owner@example.com", "lost")
    (event,) = gateway.undelivered_events(types)
    assert (event.object_id, event.type, event.livemode) == (lost, "customer.created", False)
    assert event.api_version == gateway.API_VERSION
    assert gateway.undelivered_events(["customer.updated"]) == []


def test_they_are_listed_newest_first_however_many_types_are_asked_for(local: LocalStripe) -> None:
    created, updated = "customer.created", "customer.updated"
    gateway.find_or_create_webhook_endpoint("http://127.0.0.1:9/", [created, updated])
    types = [created, *(f"invoice.{number}" for number in range(19)), updated]
    first = gateway.create_customer(7, "owner@example.com", "first")
    gateway.v1().customers.update(first, {"name": "Owner"})
    advance(local, 60)
    second = gateway.create_customer(8, "stranger@example.com", "second")
    advance(local, 60)
    gateway.v1().customers.update(first, {"name": "The owner"})
    told = [(event.type, event.object_id) for event in gateway.undelivered_events(types)]
    assert told[:2] == [(updated, first), (created, second)]
    assert set(told[2:]) == {(created, first), (updated, first)}  # of one second


@pytest.mark.parametrize(("kind", "times"), [("rate_limit", 1), ("error", 3)])
def test_what_is_to_be_tried_again_is_told_apart(
    local: LocalStripe, kind: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    control(local, "POST", "failures", {"kind": kind, "path": "/v1/customers", "times": times})
    with pytest.raises(gateway.StripeUnavailable):
        gateway.create_customer(7, "owner@example.com", "key")
    assert gateway.create_customer(7, "owner@example.com", "key").startswith("cus_")


def test_what_is_refused_is_refused_for_good(local: LocalStripe) -> None:
    with pytest.raises(gateway.StripeRefused) as refused:
        gateway.retrieve_invoice("in_none")
    assert refused.value.code == "resource_missing"


def test_a_stripe_that_is_not_there_is_unavailable(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    with pytest.raises(gateway.StripeUnavailable):
        gateway.find_meter()


def test_the_library_writes_no_telemetry() -> None:
    import stripe

    assert stripe.enable_telemetry is False
    assert stripe.api_version == gateway.API_VERSION  # the version whose types the tests hold
