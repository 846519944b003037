"""The life of a paying customer at the local Stripe, by the client that the product uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe as library
from stripe._api_version import _ApiVersion

from sandbox.stripe import API_VERSION
from tests.local_stripe import Shop, advance, at, checked_stripe, client_of, control, open_shop

NOVEMBER, DECEMBER = at("2026-11-01 00:00"), at("2026-12-01 00:00")
BAD_CARD = "pm_card_chargeCustomerFail"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def checkout(shop: Shop, customer: str) -> Any:
    params: Any = {
        "mode": "setup",
        "customer": customer,
        "currency": "usd",
        "allowed_payment_method_types": ["card"],
        "success_url": "http://shop/ok?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://shop/no",
        "metadata": {"account": "7"},
    }
    return shop.client.v1.checkout.sessions.create(params)


def lines(invoice: Any) -> list[tuple[int, int, str]]:
    return [(line.quantity, line.amount, line.description) for line in invoice.lines.data]


def test_it_speaks_the_version_of_the_library() -> None:
    assert API_VERSION == _ApiVersion.CURRENT


def test_from_the_card_to_the_paid_invoice(shop: Shop) -> None:
    v1 = shop.client.v1
    customer = v1.customers.create({"email": "owner@example.com", "metadata": {"account": "7"}})
    session = checkout(shop, customer.id)
    assert "Card declined" in shop.press(session.url)[1]

    assert shop.press(session.url, do="pm_card_visa") == (
        303,
        f"http://shop/ok?session={session.id}",
    )
    shop.receiver.wait_for("checkout.session.completed")
    signature, body = next(p for p in shop.receiver.posts if b"checkout.session.completed" in p[1])
    event = library.Webhook.construct_event(body, signature, shop.secret)
    with pytest.raises(library.SignatureVerificationError):
        library.Webhook.construct_event(body + b" ", signature, shop.secret)
    completed = v1.checkout.sessions.retrieve(event.data.object["id"], {"expand": ["setup_intent"]})
    card = completed.setup_intent.payment_method
    assert (completed.status, completed.metadata["account"]) == ("complete", "7")
    assert v1.customers.retrieve(customer.id).invoice_settings.default_payment_method is None
    v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card}})

    subscription = shop.subscribe(customer.id, metadata={"account": "7"})
    item = subscription["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (NOVEMBER, DECEMBER)
    assert (subscription.status, subscription.latest_invoice) == ("active", None)
    shop.use(customer.id, 900, "2026-11-02 08:00")  # before there was a subscription
    for push, units in enumerate([100, 400, 700]):
        shop.use(customer.id, units, "2026-11-16 09:00", push)

    draft = shop.draft(customer.id)
    assert (draft.status, draft.billing_reason, draft.total) == ("draft", "subscription_cycle", 30)
    shop.use(customer.id, 2_100, "2026-11-30 23:00")  # late, but not too late
    advance(shop.local, 3)
    advance(shop.local, 3_600)
    invoice = v1.invoices.retrieve(draft.id, {"expand": ["payments.data.payment.payment_intent"]})
    assert lines(invoice) == [
        (1_000, 0, "1000 × Predictions (Tier 1 at $0.00 / month)"),
        (2_700, 135, "2700 × Predictions (Tier 2 at $0.0005 / month)"),
    ]
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 135, 135)
    assert (invoice.period_start, invoice.period_end) == (NOVEMBER, DECEMBER)
    assert invoice.payments.data[0].payment.payment_intent.status == "succeeded"
    assert invoice.parent.subscription_details.subscription == subscription.id
    item = v1.subscriptions.retrieve(subscription.id)["items"].data[0]
    assert (item.current_period_start, item.current_period_end) == (
        DECEMBER,
        at("2027-01-01 00:00"),
    )

    told = shop.receiver.types()
    expected = ["invoice.created", "invoice.finalized", "charge.succeeded", "invoice.paid"]
    assert [type for type in told if type in expected] == expected
    assert "Total $1.35, paid" in shop.press(invoice.hosted_invoice_url)[1]


def test_the_clock_can_go_to_a_moment_and_never_back(shop: Shop) -> None:
    assert control(shop.local, "POST", "clock", {"to": DECEMBER})["now"] == DECEMBER
    assert control(shop.local, "GET", "clock")["now"] in (DECEMBER, DECEMBER + 1)
    with pytest.raises(OSError, match="400"):
        control(shop.local, "POST", "clock", {"to": NOVEMBER})


def test_a_card_can_be_declined_at_checkout(shop: Shop) -> None:
    customer = shop.client.v1.customers.create({})
    session = checkout(shop, customer.id)
    assert "Your card was declined." in shop.press(session.url, do="decline")[1]
    session = shop.client.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert session.status == "open"
    assert session.setup_intent.last_setup_error.code == "card_declined"
    assert shop.press(session.url, do="pm_card_visa")[0] == 303
    assert shop.press(session.url, do="pm_card_visa")[0] == 400


def test_a_checkout_ends_after_a_day(shop: Shop) -> None:
    session = checkout(shop, shop.client.v1.customers.create({}).id)
    advance(shop.local, 86_399)
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "open"
    advance(shop.local, 2)
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert "checkout.session.expired" in shop.receiver.types()
    other = checkout(shop, session.customer)
    assert shop.client.v1.checkout.sessions.expire(other.id).status == "expired"


def test_a_draft_follows_the_meter_until_it_is_final(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    draft = shop.draft(customer)
    shop.use(customer, 5_000, push=1)
    assert shop.client.v1.invoices.retrieve(draft.id).total == 100
    advance(shop.local, 3)
    assert shop.client.v1.invoices.retrieve(draft.id).total == 200
    shop.client.v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})
    shop.use(customer, 9_000, push=2)
    advance(shop.local, 3)
    invoice = shop.client.v1.invoices.retrieve(draft.id)
    assert (invoice.status, invoice.total, invoice.amount_remaining) == ("open", 200, 200)
    assert shop.client.v1.invoices.line_items.list(draft.id).data[1].amount == 200


def test_an_invoice_has_the_hours_of_its_period_and_no_others(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 1_000, "2026-10-31 23:00")
    shop.use(customer, 2_000, "2026-11-01 00:00")
    draft = shop.draft(customer)
    shop.use(customer, 3_000, "2026-11-30 23:00")
    shop.use(customer, 4_000, "2026-12-01 00:00")
    advance(shop.local, 3)
    quantities = [line.quantity for line in shop.client.v1.invoices.retrieve(draft.id).lines.data]
    assert sum(quantities) == 5_000
    control(shop.local, "POST", "clock", {"to": at("2027-01-01 00:00")})
    december = shop.client.v1.invoices.list({"customer": customer}).data[0]
    assert sum(line.quantity for line in december.lines.data) == 4_000


def test_a_draft_waits_where_auto_advance_is_off(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoices = shop.client.v1.invoices
    draft = invoices.update(shop.draft(customer).id, {"auto_advance": False})
    assert draft.automatically_finalizes_at is None
    advance(shop.local, 3 * 86_400)
    assert invoices.retrieve(draft.id).status == "draft"

    final = invoices.finalize_invoice(draft.id, {"auto_advance": True})
    assert (final.status, final.number[-5:]) == ("open", "-0001")
    advance(shop.local, 0)
    assert invoices.retrieve(draft.id).status == "paid"
    with pytest.raises(library.InvalidRequestError, match="already finalized"):
        invoices.finalize_invoice(draft.id)


def test_a_draft_can_be_given_another_hour(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    draft = shop.draft(customer)
    later: Any = {"automatically_finalizes_at": DECEMBER + 10 * 3_600}
    shop.client.v1.invoices.update(draft.id, later)
    advance(shop.local, 9 * 3_600)
    assert shop.client.v1.invoices.retrieve(draft.id).status == "draft"
    advance(shop.local, 3_601)
    assert shop.client.v1.invoices.retrieve(draft.id).status == "paid"


def test_a_declined_card_is_tried_again_until_another_one_pays(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    subscription = shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    v1 = shop.client.v1
    assert (invoice.status, invoice.attempt_count, invoice.amount_paid) == ("open", 1, 0)
    assert invoice.next_payment_attempt == DECEMBER + 3_600 + 3 * 86_400
    assert v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert v1.customers.retrieve(customer).delinquent
    assert shop.receiver.types().count("invoice.payment_failed") == 1
    with pytest.raises(library.CardError) as refused:
        v1.invoices.pay(invoice.id)
    assert (refused.value.code, refused.value.http_status) == ("card_declined", 402)

    advance(shop.local, 3 * 86_400)
    assert (
        v1.invoices.retrieve(invoice.id).attempt_count == 2
    )  # the order to pay moved the next one
    advance(shop.local, 30 * 86_400 - 5)
    invoice = v1.invoices.retrieve(invoice.id)
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (4, None)

    good = v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    v1.customers.update(customer, {"invoice_settings": {"default_payment_method": good.id}})
    assert v1.invoices.pay(invoice.id).status == "paid"
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    assert not v1.customers.retrieve(customer).delinquent
    with pytest.raises(library.InvalidRequestError, match="paid"):
        v1.invoices.pay(invoice.id)


def test_a_subscription_is_past_due_until_the_last_invoice_is_paid(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    subscription = shop.subscribe(customer)
    shop.use(customer, 3_000)
    shop.billed(customer)
    shop.use(customer, 3_000, "2026-12-01 01:00")
    control(shop.local, "POST", "clock", {"to": at("2027-01-01 02:00")})
    v1 = shop.client.v1
    invoices = v1.invoices.list({"customer": customer, "status": "open"}).data
    assert len(invoices) == 2
    good = v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    for invoice, status in zip(invoices, ("past_due", "active"), strict=True):
        v1.invoices.pay(invoice.id, {"payment_method": good.id})
        assert v1.subscriptions.retrieve(subscription.id).status == status


def test_an_invoice_can_be_paid_with_another_card_on_its_page(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    assert "Your card was declined." in shop.press(invoice.hosted_invoice_url, do=BAD_CARD)[1]
    assert shop.press(invoice.hosted_invoice_url, do="pm_card_visa")[0] == 303
    assert shop.client.v1.invoices.retrieve(invoice.id).status == "paid"


def test_what_does_not_advance_by_itself_is_not_tried_again(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    draft = shop.draft(customer)
    advance(shop.local, 3)
    invoices = shop.client.v1.invoices
    invoices.finalize_invoice(draft.id, {"auto_advance": False})
    with pytest.raises(library.CardError):
        invoices.pay(draft.id)
    advance(shop.local, 30 * 86_400)
    invoice = invoices.retrieve(draft.id)
    assert (invoice.attempt_count, invoice.next_payment_attempt) == (1, None)
    invoices.update(draft.id, {"auto_advance": True})
    advance(shop.local, 0)
    assert invoices.retrieve(draft.id).attempt_count == 2


def test_who_has_no_card_is_not_charged(shop: Shop) -> None:
    customer = shop.client.v1.customers.create({"name": "Nobody"}).id
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    assert (invoice.status, invoice.attempt_count) == ("open", 1)
    with pytest.raises(library.InvalidRequestError, match="no default payment method"):
        shop.client.v1.invoices.pay(invoice.id)
    outside: Any = {"paid_out_of_band": True}
    assert shop.client.v1.invoices.pay(invoice.id, outside).status == "paid"


def test_a_month_without_usage_is_an_invoice_of_nothing(shop: Shop) -> None:
    customer = shop.client.v1.customers.create({}).id
    shop.subscribe(customer)
    invoice = shop.billed(customer)
    assert (invoice.status, invoice.total, invoice.attempt_count) == ("paid", 0, 0)
    assert lines(invoice) == [(0, 0, "0 × Predictions (Tier 1 at $0.00 / month)")]


def test_what_is_too_little_to_charge_is_carried_over(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 1_980)  # 49 cents
    november = shop.billed(customer)
    assert (november.status, november.total, november.amount_due) == ("paid", 49, 0)
    assert november.ending_balance == shop.client.v1.customers.retrieve(customer).balance == 49

    shop.use(customer, 1_020, "2026-12-01 01:00")  # one cent
    control(shop.local, "POST", "clock", {"to": at("2027-01-01 02:00")})
    december = shop.client.v1.invoices.list({"customer": customer}).data[0]
    assert (december.total, december.starting_balance) == (1, 49)
    assert (december.status, december.amount_paid) == ("paid", 50)
    assert shop.client.v1.customers.retrieve(customer).balance == 0


def test_a_subscription_ends_with_its_period_and_is_billed(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    shop.use(customer, 3_000)
    v1 = shop.client.v1
    params: Any = {"cancel_at": "min_period_end"}
    assert v1.subscriptions.update(subscription.id, params).cancel_at == DECEMBER
    kept = v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert kept.cancel_at is None
    ending = v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (ending.status, ending.cancel_at) == ("active", DECEMBER)
    invoice = shop.billed(customer)
    assert (invoice.status, invoice.total) == ("paid", 100)
    ended = v1.subscriptions.retrieve(subscription.id)
    assert (ended.status, ended.ended_at) == ("canceled", DECEMBER)
    assert "customer.subscription.deleted" in shop.receiver.types()
    control(shop.local, "POST", "clock", {"to": at("2027-01-02 00:00")})
    assert len(v1.invoices.list({"subscription": subscription.id}).data) == 1
    assert not v1.subscriptions.list({"customer": customer}).data
    assert len(v1.subscriptions.list({"customer": customer, "status": "all"}).data) == 1


@pytest.mark.parametrize(("params", "invoices"), [({}, []), ({"invoice_now": True}, [100])])
def test_ended_at_once_the_running_month_is_billed_on_demand_only(
    shop: Shop, params: Any, invoices: list[int]
) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    shop.use(customer, 3_000)
    advance(shop.local, 5)
    v1 = shop.client.v1
    assert v1.subscriptions.cancel(subscription.id, params).status == "canceled"
    advance(shop.local, 3_601)
    assert [i.amount_paid for i in v1.invoices.list({"customer": customer}).data] == invoices
    with pytest.raises(library.InvalidRequestError, match="No such subscription"):
        v1.subscriptions.cancel(subscription.id)


def test_an_anchor_can_be_configured(shop: Shop) -> None:
    config: Any = {"day_of_month": 1, "hour": 0, "minute": 0, "second": 0}
    params: Any = {
        "customer": shop.customer(),
        "items": [{"price": shop.price}],
        "backdate_start_date": NOVEMBER,
        "billing_cycle_anchor_config": config,
    }
    subscription = shop.client.v1.subscriptions.create(params)
    assert subscription.billing_cycle_anchor == DECEMBER
    assert subscription["items"].data[0].current_period_end == DECEMBER


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"billing_cycle_anchor": NOVEMBER}, 400),
        ({"backdate_start_date": DECEMBER}, 400),
        ({"backdate_start_date": at("2026-10-31 00:00")}, 501),
        ({"proration_behavior": "none"}, 501),
        ({"trial_period_days": 7}, 501),
        ({"customer": "cus_nobody"}, 400),
        ({"items": [{"price": "price_none"}]}, 400),
        ({"default_payment_method": "pm_none"}, 400),
    ],
)
def test_a_wrong_subscription_is_refused(shop: Shop, more: Any, status: int) -> None:
    with pytest.raises(library.StripeError) as refused:
        shop.subscribe(shop.customer(), **more)
    assert refused.value.http_status == status


@pytest.mark.parametrize(
    ("order", "status", "type"),
    [
        ("void_invoice", "void", "invoice.voided"),
        ("mark_uncollectible", "uncollectible", "invoice.marked_uncollectible"),
    ],
)
def test_an_open_invoice_can_be_voided_or_given_up(
    shop: Shop, order: str, status: str, type: str
) -> None:
    customer = shop.customer(BAD_CARD)
    subscription = shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    v1 = shop.client.v1
    assert v1.subscriptions.retrieve(subscription.id).status == "past_due"
    assert getattr(v1.invoices, order)(invoice.id).status == status
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    advance(shop.local, 30 * 86_400)
    assert v1.invoices.retrieve(invoice.id).attempt_count == 1
    assert type in shop.receiver.types()
    with pytest.raises(library.InvalidRequestError):
        v1.invoices.mark_uncollectible(invoice.id)


def test_a_payment_can_be_refunded_credited_and_disputed(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    shop.use(customer, 11_000)
    invoice = shop.billed(customer)
    v1 = shop.client.v1
    payment = v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    intent = str(payment.payment.payment_intent)
    refund = v1.refunds.create({"payment_intent": intent, "amount": 100})
    note: Any = {"invoice": invoice.id, "amount": 150, "refund_amount": 150}
    assert v1.credit_notes.create(note).type == "post_payment"
    charge = v1.charges.retrieve(str(refund.charge), {"expand": ["refunds"]})
    assert (charge.amount, charge.amount_refunded, charge.refunded) == (500, 250, False)
    assert [one.amount for one in charge.refunds.data] == [150, 100]
    invoice = v1.invoices.retrieve(invoice.id)
    assert (invoice.status, invoice.post_payment_credit_notes_amount) == ("paid", 150)
    with pytest.raises(library.InvalidRequestError, match="250"):
        v1.refunds.create({"charge": charge.id, "amount": 251})
    assert v1.refunds.create({"charge": charge.id}).amount == 250

    dispute = control(shop.local, "POST", "disputes", {"charge": charge.id})
    assert v1.charges.retrieve(charge.id).disputed
    control(shop.local, "POST", f"disputes/{dispute['id']}/close", {"won": False})
    assert v1.disputes.retrieve(dispute["id"]).status == "lost"
    advance(shop.local, 0)
    wanted = [
        "charge.refunded",
        "credit_note.created",
        "charge.dispute.created",
        "charge.dispute.closed",
    ]
    assert set(wanted) <= set(shop.receiver.types())


def test_a_credit_note_lowers_what_is_open(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    v1 = shop.client.v1
    v1.credit_notes.create({"invoice": invoice.id, "amount": 40})
    invoice = v1.invoices.retrieve(invoice.id)
    assert (invoice.status, invoice.amount_remaining) == ("open", 60)
    good = v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    assert v1.invoices.pay(invoice.id, {"payment_method": good.id}).amount_paid == 60
    assert [charge.amount for charge in v1.charges.list({"customer": customer}).data] == [60, 100]


def test_a_credit_note_may_leave_nothing_to_pay(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    v1 = shop.client.v1
    v1.credit_notes.create({"invoice": invoice.id, "amount": 100})
    assert v1.invoices.retrieve(invoice.id).status == "paid"
    intent = v1.payment_intents.list({"customer": customer}).data[0]
    assert intent.status == "canceled"


def test_a_lookup_key_names_one_price(shop: Shop) -> None:
    v1 = shop.client.v1
    old = v1.prices.list({"lookup_keys": ["standard"], "active": True}).data
    assert [price.id for price in old] == [shop.price]
    assert "tiers" not in old[0]
    tiers = v1.prices.retrieve(shop.price, {"expand": ["tiers"]}).tiers
    assert [(tier.up_to, str(tier.unit_amount_decimal)) for tier in tiers] == [
        (1_000, "0"),
        (None, "0.05"),
    ]
    params: Any = {
        "currency": "usd",
        "product": old[0].product,
        "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
        "unit_amount_decimal": "0.125",
        "lookup_key": "standard",
    }
    with pytest.raises(library.InvalidRequestError, match="lookup key"):
        v1.prices.create(params)
    new = v1.prices.create({**params, "transfer_lookup_key": True})
    assert [p.id for p in v1.prices.list({"lookup_keys": ["standard"]}).data] == [new.id]
    assert v1.prices.retrieve(shop.price).lookup_key is None


@pytest.mark.parametrize(
    "tiers",
    [
        [{"up_to": 10, "unit_amount": 1}],
        [{"up_to": "inf", "unit_amount": 1}, {"up_to": 10, "unit_amount": 1}],
        [
            {"up_to": 10, "unit_amount": 1},
            {"up_to": 5, "unit_amount": 1},
            {"up_to": "inf", "unit_amount": 1},
        ],
        [{"up_to": "inf", "unit_amount": 1, "unit_amount_decimal": "1"}],
        [{"up_to": "inf", "unit_amount_decimal": "0.0000000000001"}],
    ],
)
def test_wrong_tiers_are_refused(shop: Shop, tiers: Any) -> None:
    product = shop.client.v1.prices.retrieve(shop.price).product
    params: Any = {
        "currency": "usd",
        "product": product,
        "billing_scheme": "tiered",
        "tiers_mode": "graduated",
        "tiers": tiers,
        "recurring": {"interval": "month", "usage_type": "metered", "meter": shop.meter},
    }
    with pytest.raises(library.InvalidRequestError):
        shop.client.v1.prices.create(params)


def test_the_portal_changes_cards_and_ends_subscriptions(shop: Shop) -> None:
    v1 = shop.client.v1
    features: Any = {
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
        "invoice_history": {"enabled": True},
    }
    configuration = v1.billing_portal.configurations.create({"features": features})
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    params: Any = {"customer": customer, "return_url": "http://shop/billing"}
    session = v1.billing_portal.sessions.create(params)
    assert session.configuration == configuration.id
    assert "Your card ends in 4242." in shop.press(session.url)[1]

    assert shop.press(session.url, do=BAD_CARD)[0] == 303
    assert "Your card ends in 0341." in shop.press(session.url)[1]
    shop.press(session.url, do="cancel", subscription=subscription.id)
    assert v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
    shop.press(session.url, do="keep", subscription=subscription.id)
    assert not v1.subscriptions.retrieve(subscription.id).cancel_at_period_end

    foreign = shop.subscribe(shop.customer())
    assert shop.press(session.url, do="cancel", subscription=foreign.id)[0] == 400
    shut: Any = {"features": {"payment_method_update": {"enabled": False}}}
    v1.billing_portal.configurations.update(configuration.id, shut)
    assert shop.press(session.url, do="pm_card_visa")[0] == 400
    assert (
        v1.billing_portal.configurations.list({"active": True})
        .data[0]
        .features["subscription_cancel"]
        .enabled
    )


def test_the_portal_changes_the_details_that_it_may(shop: Shop) -> None:
    v1 = shop.client.v1
    allowed = ["name", "address", "tax_id"]
    features: Any = {"customer_update": {"enabled": True, "allowed_updates": allowed}}
    v1.billing_portal.configurations.create({"features": features})
    customer = shop.customer()
    session = v1.billing_portal.sessions.create({"customer": customer})
    wish = {"name": "<Owner>", "line1": "1 Main St", "country": "DE", "email": "new@example.com"}
    tax_id = {"tax_id_type": "eu_vat", "tax_id": "DE123456789"}
    assert shop.press(session.url, do="details", **wish, **tax_id)[0] == 303
    changed: Any = v1.customers.retrieve(customer)
    assert (changed.name, changed.email) == ("<Owner>", "owner@example.com")
    assert (changed.address.line1, changed.address.city) == ("1 Main St", None)
    assert v1.customers.tax_ids.list(customer).data[0].value == "DE123456789"
    assert 'value="&lt;Owner&gt;"' in shop.press(session.url)[1]


def test_a_customer_keeps_what_he_is_told_and_can_be_deleted(shop: Shop) -> None:
    v1 = shop.client.v1
    customer = shop.customer()
    address: Any = {"line1": "1 Main St", "country": "DE"}
    v1.customers.update(customer, {"metadata": {"a": "1", "7": "x"}, "address": address})
    updated = v1.customers.update(customer, {"metadata": {"a": "", "b": "2"}, "name": "Owner"})
    assert updated.metadata.to_dict() == {"7": "x", "b": "2"}
    assert (updated.address.country, updated.address.city) == ("DE", None)
    v1.customers.tax_ids.create(customer, {"type": "eu_vat", "value": "DE123456789"})
    assert v1.customers.tax_ids.list(customer).data[0].value == "DE123456789"
    card = v1.customers.payment_methods.list(customer).data[0]
    v1.payment_methods.detach(card.id)
    assert v1.customers.retrieve(customer).invoice_settings.default_payment_method is None
    with pytest.raises(library.InvalidRequestError, match="does not have a payment method"):
        v1.customers.update(customer, {"invoice_settings": {"default_payment_method": card.id}})

    subscription = shop.subscribe(customer)
    assert v1.customers.delete(customer).deleted
    assert v1.customers.retrieve(customer).deleted
    assert v1.subscriptions.retrieve(subscription.id).status == "canceled"
    with pytest.raises(library.InvalidRequestError, match="No such customer"):
        v1.customers.update(customer, {"name": "Nobody"})


def test_it_remembers_all_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "stripe.sqlite3"
    with open_shop(file) as shop:
        customer = shop.customer()
        subscription = shop.subscribe(customer)
        shop.use(customer, 3_000)
        invoice = shop.billed(customer)
        other = shop.subscribe(
            shop.customer(BAD_CARD),
            **{"backdate_start_date": DECEMBER, "billing_cycle_anchor": at("2027-01-01 00:00")},
        )
        shop.client.v1.webhook_endpoints.delete(shop.client.v1.webhook_endpoints.list().data[0].id)
        advance(shop.local, 0)
        kept = shop.local.world.store.kinds
        now = shop.local.world.now()
    with checked_stripe(file=file) as local:
        assert local.world.now() - now in (0, 1, 2)
        here = local.world.store.kinds
        # The state as it is read again, with nothing forgotten that was changed.
        assert {kind: rows for kind, rows in here.items() if kind != "clock"} == {
            kind: rows for kind, rows in kept.items() if rows and kind != "clock"
        }
        control(local, "POST", "clock", {"to": at("2027-01-01 02:00")})
        invoices = client_of(local).v1.invoices.list({"customer": customer}).data
        assert [one.id for one in invoices][1] == invoice.id
        assert client_of(local).v1.subscriptions.retrieve(subscription.id).status == "active"
        assert client_of(local).v1.subscriptions.retrieve(other.id).status == "active"
