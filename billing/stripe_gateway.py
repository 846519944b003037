"""Stripe, as the product knows it: a function for each thing that is asked of it.

The one module that imports its library. What comes back are values of ours; what goes wrong is
`StripeUnavailable`, to be tried again later, or `StripeRefused`, which time does not heal. Times
are timestamps of Stripe's clock, money is in cents. What the library sends again after a fault is
done once: each POST carries an idempotency key.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

import stripe
from django.conf import settings

from billing.plans import Tier
from billing.rating import CURRENCY, MICROS_PER_CENT

# What this code was written for; the library's own version may move on with an update.
API_VERSION = "2026-10-28.endive"
TIMEOUT_SECONDS = (5, 20)
MAX_RETRIES = 2

METER_EVENT = "predictions"
PRODUCT = "mnistapi-predictions"
MARK = {"app": "mnistapi"}
METER_ERRORS = ("v1.billing.meter.error_report_triggered", "v1.billing.meter.no_meter_found")
PAGE = 100

stripe.enable_telemetry = False  # it would write a file in the home folder

P = ParamSpec("P")
R = TypeVar("R")


class StripeFault(Exception):
    """The message is Stripe's own; it names no secret and no card."""


class StripeUnavailable(StripeFault):
    """Not reached, busy or broken: what was asked may or may not have been done."""


class StripeRefused(StripeFault):
    """Answered with a 4xx: asked again, it would say the same."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Price:
    id: str
    meter: str
    tiers: tuple[Tier, ...]
    active: bool


@dataclass(frozen=True)
class Destination:
    """Where events are sent. Its secret is told once, when it is made."""

    id: str
    is_new: bool
    secret: str = ""


@dataclass(frozen=True)
class CheckoutSession:
    """`card` is empty until the session is complete."""

    id: str
    customer: str
    is_complete: bool
    card: str


@dataclass(frozen=True)
class SetupIntent:
    id: str
    customer: str
    status: str
    card: str


@dataclass(frozen=True)
class Subscription:
    """`checkout` is the session that it was made for; `ends_at` when it will end or has ended."""

    id: str
    customer: str
    status: str
    created: int
    checkout: str
    ends_at: int | None
    ended_at: int | None
    period_start: int
    period_end: int

    @property
    def is_live(self) -> bool:
        """Whether it bills usage: it does so, too, while an invoice of it is not paid."""
        return self.status in ("active", "trialing", "past_due", "unpaid")


@dataclass(frozen=True)
class Line:
    id: str
    quantity: int
    amount: int
    description: str
    period_start: int
    period_end: int


@dataclass(frozen=True)
class Invoice:
    """`refunded` and `dispute` come from the payment; `subscription` is empty if it is of none."""

    id: str
    customer: str
    subscription: str
    number: str
    status: str
    billing_reason: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    credited: int
    refunded: int
    dispute: str
    attempted: bool
    auto_advance: bool
    created: int
    finalized_at: int | None
    automatically_finalizes_at: int | None
    period_start: int
    period_end: int
    payment_intent: str
    hosted_url: str
    pdf_url: str


@dataclass(frozen=True)
class Summary:
    """Units that Stripe has counted between two times."""

    start: int
    end: int
    units: int


@dataclass(frozen=True)
class MeterErrors:
    """Of the events taken between two times, so many could not be counted."""

    event_id: str
    type: str
    count: int
    summary: str
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Event:
    """That something happened; of what it says of the object, just the ids are believed.

    `object_id` is the object that it is about, `customer`, `invoice` and `payment_intent` what that
    object names, each empty if it names none.
    """

    id: str
    type: str
    created: int
    livemode: bool
    api_version: str
    object_id: str
    customer: str = ""
    invoice: str = ""
    payment_intent: str = ""


@cache
def client_for(key: str, base: str) -> stripe.StripeClient:
    """One for the process; it keeps a connection for each thread."""
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": base} if base else None,
        max_network_retries=MAX_RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
    )


def v1() -> Any:
    return client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v1


def v2() -> Any:
    return client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE).v2


def asks_stripe(function: Callable[P, R]) -> Callable[P, R]:
    """Turn the library's exceptions into ours."""

    @wraps(function)
    def asking(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except stripe.StripeError as error:
            raise ours(error) from error

    return asking


def ours(error: stripe.StripeError) -> StripeFault:
    status = error.http_status or 0
    message = error.user_message or type(error).__name__
    if status == 429 or status == 409 or not 400 <= status < 500:
        return StripeUnavailable(message)
    return StripeRefused(message, error.code or "")


def text(value: Any) -> str:
    return str(value or "")


def id_of(value: Any) -> str:
    """Of something that is there whole, as an id or not at all."""
    return text(value if value is None or isinstance(value, str) else value["id"])


def metadata_of(thing: Any) -> dict[str, str]:
    return dict(thing.metadata.to_dict()) if thing.metadata else {}


# What is sold


@asks_stripe
def find_meter() -> str:
    """The id of the active meter that counts predictions; empty if there is none."""
    meters = v1().billing.meters.list({"status": "active", "limit": PAGE})
    for meter in meters.auto_paging_iter():
        if meter.event_name == METER_EVENT:
            return str(meter.id)
    return ""


@asks_stripe
def create_meter() -> str:
    """Of hours, in which the newest event holds: neither can be changed later."""
    meter = v1().billing.meters.create(
        {
            "display_name": "Predictions",
            "event_name": METER_EVENT,
            "default_aggregation": {"formula": "sum"},
            "event_time_window": "hour",
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )
    return str(meter.id)


@asks_stripe
def find_product() -> str:
    """Its id, which is ours; empty if it is not there yet."""
    found = v1().products.list({"ids": [PRODUCT]}).data
    return PRODUCT if found else ""


@asks_stripe
def create_product() -> str:
    product = v1().products.create(
        {"id": PRODUCT, "name": "Predictions", "unit_label": "unit", "metadata": MARK}
    )
    return str(product.id)


@asks_stripe
def find_price(lookup_key: str) -> Price | None:
    """The price that has the lookup key now."""
    wanted = {"lookup_keys": [lookup_key], "expand": ["data.tiers"]}
    found = v1().prices.list(wanted).data
    return price_of(found[0]) if found else None


@asks_stripe
def create_price(lookup_key: str, tiers: Sequence[Tier], meter: str) -> Price:
    """Graduated, by the month; it takes the lookup key from the price that had it."""
    price = v1().prices.create(
        {
            "product": PRODUCT,
            "currency": CURRENCY,
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [tier_params(tier) for tier in tiers],
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter},
            "lookup_key": lookup_key,
            "transfer_lookup_key": True,
            "metadata": MARK,
            "expand": ["tiers"],
        }
    )
    return price_of(price)


def tier_params(tier: Tier) -> dict[str, Any]:
    """Stripe counts in cents, of which a unit may cost a fraction."""
    cents = Decimal(tier.price) / MICROS_PER_CENT
    up_to = "inf" if tier.up_to is None else tier.up_to
    return {"up_to": up_to, "unit_amount_decimal": f"{cents:f}"}


def price_of(price: Any) -> Price:
    tiers = tuple(
        Tier(tier.up_to, int(Decimal(tier.unit_amount_decimal) * MICROS_PER_CENT))
        for tier in price.tiers
    )
    return Price(price.id, price.recurring.meter, tiers, price.active)


@asks_stripe
def count_subscriptions(price: str) -> int:
    """How many, of those that have not ended, are to this price."""
    subscriptions = v1().subscriptions.list({"price": price, "limit": PAGE})
    return sum(1 for _ in subscriptions.auto_paging_iter())


# The portal, and where events are sent

PORTAL_FEATURES = {
    "customer_update": {"enabled": True, "allowed_updates": ["address", "name", "tax_id"]},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    # At once would leave the usage of the running month unbilled.
    "subscription_cancel": {
        "enabled": True,
        "mode": "at_period_end",
        "proration_behavior": "none",
    },
}


@cache
def portal_configuration(key: str, base: str) -> str:
    """The id of ours, kept for the process: it does not change once it is there."""
    if id := find_portal_configuration():
        return id
    raise StripeRefused("There is no portal configuration: run `manage.py stripe_setup`.")


@asks_stripe
def find_portal_configuration() -> str:
    """Its id; empty if there is none."""
    configurations = v1().billing_portal.configurations.list({"active": True, "limit": PAGE})
    for configuration in configurations.auto_paging_iter():
        if metadata_of(configuration).get("app") == MARK["app"]:
            return str(configuration.id)
    return ""


@asks_stripe
def create_portal_configuration(return_url: str) -> str:
    configuration = v1().billing_portal.configurations.create(
        {"features": PORTAL_FEATURES, "default_return_url": return_url, "metadata": MARK}
    )
    return str(configuration.id)


@asks_stripe
def set_portal_configuration(id: str, return_url: str) -> None:
    """As the code has it now."""
    wanted = {"features": PORTAL_FEATURES, "default_return_url": return_url}
    v1().billing_portal.configurations.update(id, wanted)


@asks_stripe
def find_or_create_webhook_endpoint(url: str, types: Sequence[str]) -> Destination:
    """For snapshot events of these types, in our version of the API."""
    for endpoint in v1().webhook_endpoints.list({"limit": PAGE}).auto_paging_iter():
        if endpoint.url == url and endpoint.api_version == API_VERSION:
            if set(endpoint.enabled_events) != set(types):
                v1().webhook_endpoints.update(endpoint.id, {"enabled_events": list(types)})
            return Destination(endpoint.id, is_new=False)
    made = v1().webhook_endpoints.create(
        {"url": url, "enabled_events": list(types), "api_version": API_VERSION, "metadata": MARK}
    )
    return Destination(made.id, is_new=True, secret=text(made.secret))


@asks_stripe
def find_or_create_event_destination(url: str) -> Destination:
    """For the thin events that tell of meter events which Stripe could not count."""
    shown = {"include": ["webhook_endpoint.url"], "limit": PAGE}
    for destination in v2().core.event_destinations.list(shown).auto_paging_iter():
        if destination.webhook_endpoint.url == url:
            return Destination(destination.id, is_new=False)
    made = v2().core.event_destinations.create(
        {
            "name": "mnistapi",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": list(METER_ERRORS),
            "webhook_endpoint": {"url": url},
            "metadata": MARK,
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    return Destination(made.id, is_new=True, secret=text(made.webhook_endpoint.signing_secret))


# Who pays


@asks_stripe
def create_customer(customer_id: int, email: str, idempotency_key: str) -> str:
    """The id of a customer who has ours in its metadata."""
    params = {"email": email, "metadata": {**MARK, "customer": str(customer_id)}}
    made = v1().customers.create(params, {"idempotency_key": idempotency_key})
    return str(made.id)


@asks_stripe
def setup_checkout_url(customer: str, success_url: str, cancel_url: str) -> str:
    """The address of a page of Stripe's on which the customer enters a card."""
    session = v1().checkout.sessions.create(
        {
            "mode": "setup",
            "customer": customer,
            "currency": CURRENCY,
            "allowed_payment_method_types": ["card"],
            "success_url": success_url,
            "cancel_url": cancel_url,
            "metadata": MARK,
        }
    )
    return str(session.url)


@asks_stripe
def portal_url(customer: str, return_url: str) -> str:
    """The address of a page of Stripe's for cards, addresses, tax ids and cancelling."""
    configuration = portal_configuration(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
    session = v1().billing_portal.sessions.create(
        {"customer": customer, "configuration": configuration, "return_url": return_url}
    )
    return str(session.url)


@asks_stripe
def make_card_default(customer: str, card: str) -> None:
    """What is owed from now on is taken from this card, unless a subscription names another."""
    v1().customers.update(customer, {"invoice_settings": {"default_payment_method": card}})


@asks_stripe
def retrieve_checkout_session(id: str) -> CheckoutSession:
    session = v1().checkout.sessions.retrieve(id, {"expand": ["setup_intent"]})
    intent = session.setup_intent
    return CheckoutSession(
        id=session.id,
        customer=id_of(session.customer),
        is_complete=session.status == "complete",
        card=id_of(intent.payment_method) if intent else "",
    )


@asks_stripe
def retrieve_setup_intent(id: str) -> SetupIntent:
    intent = v1().setup_intents.retrieve(id)
    return SetupIntent(
        intent.id, id_of(intent.customer), intent.status, id_of(intent.payment_method)
    )


# Subscriptions


@asks_stripe
def create_subscription(
    customer: str, price: str, checkout: str, start: int, anchor: int, idempotency_key: str
) -> Subscription:
    """Billed for all usage since `start`, which is past, up to `anchor`, and then by the month."""
    made = v1().subscriptions.create(
        {
            "customer": customer,
            "items": [{"price": price}],
            "backdate_start_date": start,
            "billing_cycle_anchor": anchor,
            "metadata": {**MARK, "checkout": checkout},
        },
        {"idempotency_key": idempotency_key},
    )
    return subscription_of(made)


@asks_stripe
def retrieve_subscription(id: str) -> Subscription:
    return subscription_of(v1().subscriptions.retrieve(id))


@asks_stripe
def subscriptions_of(customer: str) -> list[Subscription]:
    """All that the customer ever had, the newest first."""
    wanted = {"customer": customer, "status": "all", "limit": PAGE}
    return [subscription_of(one) for one in v1().subscriptions.list(wanted).auto_paging_iter()]


def subscription_of(subscription: Any) -> Subscription:
    item = subscription["items"].data[0]
    return Subscription(
        id=subscription.id,
        customer=id_of(subscription.customer),
        status=subscription.status,
        created=subscription.created,
        checkout=metadata_of(subscription).get("checkout", ""),
        ends_at=subscription.ended_at or subscription.cancel_at,
        ended_at=subscription.ended_at,
        period_start=item.current_period_start,
        period_end=item.current_period_end,
    )


# Usage


@asks_stripe
def send_meter_event(customer: str, value: int, timestamp: int) -> None:
    """The units of an hour so far: within an hour the newest timestamp holds.

    Without an identifier: sent again, it says the same.
    """
    v1().billing.meter_events.create(
        {
            "event_name": METER_EVENT,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
            "timestamp": timestamp,
        }
    )


@cache
def meter(key: str, base: str) -> str:
    """The id of our meter, kept for the process: it does not change once it is there."""
    if id := find_meter():
        return id
    raise StripeRefused("There is no meter: run `manage.py stripe_setup`.")


@asks_stripe
def hourly_summaries(customer: str, start: int, end: int) -> list[Summary]:
    """What Stripe has counted from `start` on and before `end`, oldest first.

    Both are full hours. Hours without usage are missing, and the newest may not be there yet.
    """
    wanted = {
        "customer": customer,
        "start_time": start,
        "end_time": end,
        "value_grouping_window": "hour",
        "limit": PAGE,
    }
    id = meter(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)
    found = v1().billing.meters.event_summaries.list(id, wanted).auto_paging_iter()
    summaries = [Summary(one.start_time, one.end_time, int(one.aggregated_value)) for one in found]
    return sorted(summaries, key=lambda summary: summary.start)


@asks_stripe
def list_meter_errors() -> list[MeterErrors]:
    """The newest reports on events that Stripe took and could not count."""
    found = v2().core.events.list({"types": list(METER_ERRORS), "limit": PAGE})
    return [meter_errors_of(event.to_dict()) for event in found.data]


@asks_stripe
def retrieve_meter_errors(event_id: str) -> MeterErrors:
    """The report that a thin event tells of."""
    return meter_errors_of(v2().core.events.retrieve(event_id).to_dict())


def meter_errors_of(event: dict[str, Any]) -> MeterErrors:
    about = event["data"]
    return MeterErrors(
        event_id=event["id"],
        type=event["type"],
        count=about["reason"]["error_count"],
        summary=", ".join(
            f"{one['error_count']} × {one['code']}: {one['sample_errors'][0]['error_message']}"
            for one in about["reason"]["error_types"]
        ),
        since=moment(about["validation_start"]),
        until=moment(about["validation_end"]),
    )


def moment(at: str | datetime) -> datetime:
    """In UTC; version 2 of the API writes times as text."""
    return (at if isinstance(at, datetime) else datetime.fromisoformat(at)).astimezone(UTC)


# Invoices

PAYMENTS = ["payments.data.payment.payment_intent"]


@asks_stripe
def retrieve_invoice(id: str) -> Invoice:
    """As it is now, with what became of its payment: up to three requests."""
    return invoice_of(v1().invoices.retrieve(id, {"expand": PAYMENTS}))


@asks_stripe
def list_invoices(customer: str = "", status: str = "") -> list[Invoice]:
    """Of one customer, or of all; newest first, without refunds and disputes."""
    named = {"customer": customer, "status": status}
    wanted = {"limit": PAGE, **{name: value for name, value in named.items() if value}}
    found = v1().invoices.list(wanted).auto_paging_iter()
    return [invoice_without_payment(invoice) for invoice in found]


@asks_stripe
def list_lines(invoice: str) -> list[Line]:
    """All of them: one for each tier that usage reached."""
    return [
        Line(
            line.id,
            line.quantity or 0,
            line.amount,
            text(line.description),
            line.period.start,
            line.period.end,
        )
        for line in v1().invoices.line_items.list(invoice, {"limit": PAGE}).auto_paging_iter()
    ]


@asks_stripe
def finalize_invoice(id: str) -> Invoice:
    """From here on its amounts are fixed, and Stripe tries to collect it."""
    return invoice_without_payment(v1().invoices.finalize_invoice(id, {"auto_advance": True}))


@asks_stripe
def pay_invoice(id: str) -> Invoice:
    """Try to collect it now; `StripeRefused` with the code of the bank if it is declined."""
    return invoice_without_payment(v1().invoices.pay(id))


@asks_stripe
def set_auto_advance(id: str, advances: bool) -> None:
    """Whether Stripe finalises and collects it by itself. One that does not stays as it is."""
    v1().invoices.update(id, {"auto_advance": advances})


def invoice_of(invoice: Any) -> Invoice:
    payments = invoice.payments.data if invoice.payments else []
    intents = [id_of(one.payment.payment_intent) for one in payments if one.payment.payment_intent]
    intent = intents[0] if intents else ""
    if not intent or not invoice.amount_paid:
        return invoice_without_payment(invoice, intent)
    refunded = sum(
        charge.amount_refunded for charge in v1().charges.list({"payment_intent": intent}).data
    )
    disputes = v1().disputes.list({"payment_intent": intent}).data
    dispute = disputes[0].status if disputes else ""
    return invoice_without_payment(invoice, intent, refunded, dispute)


def invoice_without_payment(
    invoice: Any, intent: str = "", refunded: int = 0, dispute: str = ""
) -> Invoice:
    parent = invoice.parent
    details = parent.subscription_details if parent else None
    return Invoice(
        id=invoice.id,
        customer=id_of(invoice.customer),
        subscription=id_of(details.subscription) if details else "",
        number=text(invoice.number),
        status=invoice.status,
        billing_reason=text(invoice.billing_reason),
        currency=invoice.currency,
        total=invoice.total,
        amount_due=invoice.amount_due,
        amount_paid=invoice.amount_paid,
        amount_remaining=invoice.amount_remaining,
        credited=invoice.pre_payment_credit_notes_amount + invoice.post_payment_credit_notes_amount,
        refunded=refunded,
        dispute=dispute,
        attempted=invoice.attempted,
        auto_advance=invoice.auto_advance,
        created=invoice.created,
        finalized_at=invoice.status_transitions.finalized_at,
        automatically_finalizes_at=invoice.automatically_finalizes_at,
        period_start=invoice.period_start,
        period_end=invoice.period_end,
        payment_intent=intent,
        hosted_url=text(invoice.hosted_invoice_url),
        pdf_url=text(invoice.invoice_pdf),
    )


# What happened

TOLERANCE_SECONDS = 300  # of a webhook's age, and of clocks that differ


class NotFromStripe(StripeFault):
    """A webhook that is not to be believed, or not to be read."""


def verified_event(body: bytes, signature: str, secrets: Sequence[str]) -> Event:
    """The event that Stripe signed with one of our secrets, within the last minutes."""
    if not any(is_signed(body, signature, secret) for secret in secrets):
        raise NotFromStripe("It is not signed with a secret of ours, or not of these minutes.")
    try:
        return read_event(json.loads(body))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotFromStripe("It is signed, and no event.") from error


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """The library takes a timestamp of any future; it must be of now, or it could be kept."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError):  # UnicodeDecodeError is one
        return False
    fields = dict(field.split("=", 1) for field in signature.split(","))
    return int(fields["t"]) <= time.time() + TOLERANCE_SECONDS


@asks_stripe
def undelivered_events(types: Sequence[str]) -> list[Event]:
    """Events of these types that some address has not taken, newest first.

    Of the last 30 days: so long Stripe keeps them. It tries to deliver them for three.
    """
    wanted = {"delivery_success": False, "types": list(types), "limit": PAGE}
    found = v1().events.list(wanted).auto_paging_iter()
    return [read_event(event.to_dict()) for event in found]


def read_event(event: dict[str, Any]) -> Event:
    """From its JSON, a snapshot or a thin one."""
    if event["object"] == "v2.core.event":
        return read_thin_event(event)
    if event["object"] != "event":
        raise ValueError
    about = event["data"]["object"]
    return Event(
        id=event["id"],
        type=event["type"],
        created=int(event["created"]),
        livemode=event["livemode"],
        api_version=text(event["api_version"]),
        object_id=text(about.get("id")),
        customer=id_of(about.get("customer")),
        invoice=id_of(about.get("invoice")),
        payment_intent=id_of(about.get("payment_intent")),
    )


def read_thin_event(event: dict[str, Any]) -> Event:
    related = event.get("related_object") or {}
    return Event(
        id=event["id"],
        type=event["type"],
        created=int(datetime.fromisoformat(event["created"]).astimezone(UTC).timestamp()),
        livemode=event["livemode"],
        api_version=API_VERSION,  # a thin event has no version
        object_id=text(related.get("id")),
    )
