"""The table of contents: every endpoint that the local Stripe knows, and what it takes."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe import (
    cards,
    checkout,
    credit_notes,
    customers,
    destinations,
    disputes,
    events,
    invoices,
    meter_events,
    meters,
    payments,
    portal,
    prices,
    products,
    refunds,
    shapes,
    subscriptions,
    tax_ids,
    thin,
    webhooks,
)
from sandbox.stripe.errors import invalid, missing, unknown
from sandbox.stripe.store import Json
from sandbox.stripe.world import Call, World

MOST_LEVELS = 4  # of a path like `data.latest_invoice.payments`
PAGE = {"limit": shapes.integer, "starting_after": shapes.text, "ending_before": shapes.text}


@dataclass
class Route:
    """`needs` are the parameters without which Stripe answers 400."""

    method: str
    path: str
    handle: Callable[[World, Call], Json]
    takes: dict[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    def ids(self, path: str) -> list[str] | None:
        """What the path names in the places of the route's `{}`, if it is of this route."""
        match = re.fullmatch(self.path.replace("{}", "([^/]+)"), path)
        return list(match.groups()) if match else None

    def call(self, path: str, params: Json) -> Call:
        """The parameters as the route reads them; see `shapes` for what is refused."""
        shape = {"expand": [shapes.text], **self.takes} if path.startswith("/v1") else self.takes
        read = shapes.read(shape, params, "")
        for name in self.needs:
            if read.get(name) in (None, "", [], {}):
                raise missing(name)
        for field_path in read.get("expand", []):
            if field_path.count(".") >= MOST_LEVELS:
                raise invalid(f"You cannot expand more than {MOST_LEVELS} levels.", "expand")
        return Call(self.ids(path) or [], read)


def get(path: str, handle: Callable[[World, Call], Json], takes: Json | None = None) -> Route:
    return Route("GET", path, handle, takes or {})


def listing(
    path: str, handle: Callable[[World, Call], Json], takes: Json | None = None, *needs: str
) -> Route:
    return Route("GET", path, handle, {**PAGE, **(takes or {})}, needs)


def post(
    path: str, handle: Callable[[World, Call], Json], takes: Json | None = None, *needs: str
) -> Route:
    return Route("POST", path, handle, takes or {}, needs)


def delete(path: str, handle: Callable[[World, Call], Json], takes: Json | None = None) -> Route:
    return Route("DELETE", path, handle, takes or {})


ROUTES = [
    # Who pays, and with what
    post("/v1/customers", customers.create, customers.CREATE),
    listing("/v1/customers", customers.list_, customers.LIST),
    get("/v1/customers/{}", customers.retrieve),
    post("/v1/customers/{}", customers.update, customers.CREATE),
    delete("/v1/customers/{}", customers.delete),
    listing("/v1/customers/{}/payment_methods", cards.list_of_customer, cards.LIST_OF_CUSTOMER),
    post("/v1/customers/{}/tax_ids", tax_ids.create, tax_ids.CREATE, "type", "value"),
    listing("/v1/customers/{}/tax_ids", tax_ids.list_),
    delete("/v1/customers/{}/tax_ids/{}", tax_ids.delete),
    listing("/v1/payment_methods", cards.list_, cards.LIST, "customer"),
    get("/v1/payment_methods/{}", cards.retrieve),
    post("/v1/payment_methods/{}/attach", cards.attach, cards.ATTACH, "customer"),
    post("/v1/payment_methods/{}/detach", cards.detach),
    post(
        "/v1/checkout/sessions",
        checkout.create,
        checkout.CREATE,
        *("mode", "customer", "success_url"),
    ),
    listing("/v1/checkout/sessions", checkout.list_, checkout.LIST),
    get("/v1/checkout/sessions/{}", checkout.retrieve),
    post("/v1/checkout/sessions/{}/expire", checkout.expire),
    get("/v1/setup_intents/{}", checkout.retrieve_intent),
    post("/v1/billing_portal/configurations", portal.create, portal.CREATE, "features"),
    listing("/v1/billing_portal/configurations", portal.list_, portal.LIST),
    get("/v1/billing_portal/configurations/{}", portal.retrieve),
    post("/v1/billing_portal/configurations/{}", portal.update, portal.UPDATE),
    post("/v1/billing_portal/sessions", portal.create_session, portal.CREATE_SESSION, "customer"),
    # What is sold
    post("/v1/products", products.create, products.CREATE, "name"),
    listing("/v1/products", products.list_, products.LIST),
    get("/v1/products/{}", products.retrieve),
    post("/v1/products/{}", products.update, products.UPDATE),
    post("/v1/prices", prices.create, prices.CREATE, "currency", "product", "recurring"),
    listing("/v1/prices", prices.list_, prices.LIST),
    get("/v1/prices/{}", prices.retrieve),
    post("/v1/prices/{}", prices.update, prices.UPDATE),
    # What is used
    post(
        "/v1/billing/meters",
        meters.create,
        meters.CREATE,
        *("display_name", "event_name", "default_aggregation"),
    ),
    listing("/v1/billing/meters", meters.list_, meters.LIST),
    get("/v1/billing/meters/{}", meters.retrieve),
    post("/v1/billing/meters/{}", meters.update, meters.UPDATE),
    post("/v1/billing/meters/{}/deactivate", meters.deactivate),
    post("/v1/billing/meters/{}/reactivate", meters.reactivate),
    listing(
        "/v1/billing/meters/{}/event_summaries",
        meters.summaries,
        meters.SUMMARIES,
        *("customer", "start_time", "end_time"),
    ),
    post(
        "/v1/billing/meter_events",
        meter_events.create,
        meter_events.CREATE,
        *("event_name", "payload"),
    ),
    # What is owed
    post("/v1/subscriptions", subscriptions.create, subscriptions.CREATE, *("customer", "items")),
    listing("/v1/subscriptions", subscriptions.list_, subscriptions.LIST),
    get("/v1/subscriptions/{}", subscriptions.retrieve),
    post("/v1/subscriptions/{}", subscriptions.update, subscriptions.UPDATE),
    delete("/v1/subscriptions/{}", subscriptions.cancel, subscriptions.CANCEL),
    listing("/v1/invoices", invoices.list_, invoices.LIST),
    get("/v1/invoices/{}", invoices.retrieve),
    post("/v1/invoices/{}", invoices.update, invoices.UPDATE),
    listing("/v1/invoices/{}/lines", invoices.list_lines),
    post("/v1/invoices/{}/finalize", invoices.finalize, invoices.FINALIZE),
    post("/v1/invoices/{}/pay", invoices.pay, invoices.PAY),
    post("/v1/invoices/{}/void", invoices.void),
    post("/v1/invoices/{}/mark_uncollectible", invoices.mark_uncollectible),
    # What was paid
    listing("/v1/invoice_payments", payments.list_, payments.LIST),
    get("/v1/invoice_payments/{}", payments.retrieve),
    listing("/v1/payment_intents", payments.list_intents, payments.LIST_OF_CUSTOMER),
    get("/v1/payment_intents/{}", payments.retrieve_intent),
    listing("/v1/charges", payments.list_charges, payments.LIST_CHARGES),
    get("/v1/charges/{}", payments.retrieve_charge),
    post("/v1/refunds", refunds.create, refunds.CREATE),
    listing("/v1/refunds", refunds.list_, refunds.LIST),
    get("/v1/refunds/{}", refunds.retrieve),
    post("/v1/credit_notes", credit_notes.create, credit_notes.CREATE, "invoice", "amount"),
    listing("/v1/credit_notes", credit_notes.list_, credit_notes.LIST),
    get("/v1/credit_notes/{}", credit_notes.retrieve),
    listing("/v1/disputes", disputes.list_, disputes.LIST),
    get("/v1/disputes/{}", disputes.retrieve),
    # What happened
    listing("/v1/events", events.list_, events.LIST),
    get("/v1/events/{}", events.retrieve),
    post("/v1/webhook_endpoints", webhooks.create, webhooks.CREATE, *("url", "enabled_events")),
    listing("/v1/webhook_endpoints", webhooks.list_),
    get("/v1/webhook_endpoints/{}", webhooks.retrieve),
    post("/v1/webhook_endpoints/{}", webhooks.update, webhooks.UPDATE),
    delete("/v1/webhook_endpoints/{}", webhooks.delete),
    get("/v2/core/events", thin.list_, thin.LIST),
    get("/v2/core/events/{}", thin.retrieve),
    post(
        "/v2/core/event_destinations",
        destinations.create,
        destinations.CREATE,
        *("name", "type", "event_payload", "enabled_events", "webhook_endpoint"),
    ),
    get("/v2/core/event_destinations", destinations.list_, destinations.LIST),
    get("/v2/core/event_destinations/{}", destinations.retrieve, destinations.RETRIEVE),
    post("/v2/core/event_destinations/{}", destinations.update, destinations.UPDATE),
    post("/v2/core/event_destinations/{}/enable", destinations.enable),
    post("/v2/core/event_destinations/{}/disable", destinations.disable),
    delete("/v2/core/event_destinations/{}", destinations.delete),
]


def find(method: str, path: str) -> Route:
    """The route of a request; 501 where there is none."""
    for route in ROUTES:
        if route.method == method and route.ids(path) is not None:
            return route
    raise unknown(f"{method} {path}")
