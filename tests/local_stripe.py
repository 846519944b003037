"""The local Stripe as tests use it: each exchange and each event held to Stripe's schema."""

import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, build_opener

import stripe

from billing.stripe_gateway import meters, portal
from sandbox.stripe.server import Exchange, LocalStripe
from tests.stripe_schema import answer_faults, event_faults, request_faults

stripe.enable_telemetry = False

Json = dict[str, Any]

TIERS = [{"up_to": 1_000, "unit_amount": 0}, {"up_to": "inf", "unit_amount_decimal": "0.05"}]


@contextmanager
def checked_stripe(now: int | None = None, file: Path | None = None) -> Iterator[LocalStripe]:
    """A local Stripe; at its end nothing that passed may have been unlike Stripe.

    A request that it refused for what it is may be wrong: some are, on purpose.
    """
    faults: list[str] = []
    for remembered in (meters.meter, portal.portal_configuration):
        remembered.cache_clear()  # from another test, whose local Stripe may have had the same port

    def watch(exchange: Exchange) -> None:
        method, path, params, status, body = exchange
        asked = request_faults(method, path, params) if status not in (400, 501) else []
        answered = answer_faults(method, path, status, body)
        faults.extend(f"{method} {path} {status}: {fault}" for fault in [*asked, *answered])

    def delivered(event: Json) -> None:
        faults.extend(event_faults(event))

    local = LocalStripe(now=now, file=file, watch=watch, delivered=delivered).start()
    try:
        yield local
        with local.world.lock:
            for event in local.world.store.all("event"):
                faults.extend(event_faults(event))
    finally:
        local.stop()
    assert not faults, "\n".join(dict.fromkeys(faults))


def client_of(local: LocalStripe) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_x", base_addresses={"api": local.url}, max_network_retries=0
    )


def control(local: LocalStripe, method: str, path: str, wish: Json | None = None) -> Json:
    """Give the local Stripe an order, such as `POST clock {"advance": 3600}`."""
    body = json.dumps(wish or {}).encode()
    request = urllib.request.Request(f"{local.url}/_sandbox/{path}", body, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        told: Json = json.load(answer)
    return told


def advance(local: LocalStripe, seconds: int) -> int:
    """Let time pass there, with all that falls due; give the new time."""
    return int(control(local, "POST", "clock", {"advance": seconds})["now"])


def at(text: str) -> int:
    """The timestamp of `2026-11-16 10:00`, in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@dataclass
class Shop:
    """A local Stripe with something to sell, a client of it, and an address for its webhooks."""

    local: LocalStripe
    receiver: "Receiver"
    meter: str = ""
    price: str = ""
    secret: str = ""

    @property
    def client(self) -> stripe.StripeClient:
        return client_of(self.local)

    def open(self) -> None:
        """The first thousand units are free, each further one costs 0.05 cents."""
        meter: Any = {
            "display_name": "Predictions",
            "event_name": "predictions",
            "default_aggregation": {"formula": "sum"},
            "event_time_window": "hour",
        }
        self.meter = self.client.v1.billing.meters.create(meter).id
        product = self.client.v1.products.create({"name": "Predictions"})
        price: Any = {
            "product": product.id,
            "currency": "usd",
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": TIERS,
            "lookup_key": "standard",
            "recurring": {"interval": "month", "usage_type": "metered", "meter": self.meter},
        }
        self.price = self.client.v1.prices.create(price).id
        hook: Any = {"url": self.receiver.url, "enabled_events": ["*"]}
        self.secret = str(self.client.v1.webhook_endpoints.create(hook).secret)

    def customer(self, card: str = "pm_card_visa") -> str:
        """A new customer with this card as his default."""
        customer = self.client.v1.customers.create({"email": "owner@example.com"})
        method = self.client.v1.payment_methods.attach(card, {"customer": customer.id})
        settings: Any = {"invoice_settings": {"default_payment_method": method.id}}
        self.client.v1.customers.update(customer.id, settings)
        return customer.id

    def subscribe(self, customer: str, /, **more: Any) -> Any:
        """For November, from its first day on."""
        params: Any = {
            "customer": customer,
            "items": [{"price": self.price}],
            "backdate_start_date": at("2026-11-01 00:00"),
            "billing_cycle_anchor": at("2026-12-01 00:00"),
            **more,
        }
        return self.client.v1.subscriptions.create(params)

    def use(self, customer: str, units: int, hour: str = "2026-11-16 09:00", push: int = 0) -> Any:
        """Push the total of an hour for the `push`-th time."""
        event: Any = {
            "event_name": "predictions",
            "payload": {"stripe_customer_id": customer, "value": str(units)},
            "timestamp": at(hour) + push,
        }
        return self.client.v1.billing.meter_events.create(event)

    def used(self, customer: str, **more: Any) -> list[tuple[int, float]]:
        """What the summaries of November say: start and value, the newest first."""
        params: Any = {
            "customer": customer,
            "start_time": at("2026-11-01 00:00"),
            "end_time": at("2026-12-01 00:00"),
            **more,
        }
        summaries = self.client.v1.billing.meters.event_summaries.list(self.meter, params)
        return [(one.start_time, one.aggregated_value) for one in summaries.data]

    def draft(self, customer: str) -> Any:
        """The invoice of November, just after its end."""
        control(self.local, "POST", "clock", {"to": at("2026-12-01 00:00")})
        return self.client.v1.invoices.list({"customer": customer}).data[0]

    def billed(self, customer: str) -> Any:
        """The same an hour later, when it was finalised and its payment was tried."""
        draft = self.draft(customer)
        advance(self.local, 3_601)
        return self.client.v1.invoices.retrieve(draft.id)

    def press(self, url: str, **fields: str) -> tuple[int, str]:
        """Send the form of a page; give the status, and where it leads or what it says."""
        body = urlencode(fields).encode()
        try:
            with OPENER.open(url, body) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.headers["Location"] or error.read().decode()


def sell_support(local: LocalStripe, customer: str, start: int, anchor: int) -> str:
    """Subscribe the customer to what is not ours, by a meter of its own; give the subscription."""
    v1 = client_of(local).v1
    meter: Any = {
        "display_name": "Support",
        "event_name": "support",
        "default_aggregation": {"formula": "sum"},
        "event_time_window": "day",
    }
    metered = {"usage_type": "metered", "meter": v1.billing.meters.create(meter).id}
    price: Any = {
        "product": v1.products.create({"name": "Support"}).id,
        "currency": "usd",
        "unit_amount": 9_000,
        "recurring": {"interval": "month", **metered},
    }
    subscription: Any = {
        "customer": customer,
        "items": [{"price": v1.prices.create(price).id}],
        "backdate_start_date": start,
        "billing_cycle_anchor": anchor,
    }
    return v1.subscriptions.create(subscription).id


def wait_until_busy(shop: Shop) -> None:
    """Until another thread's request is being worked on."""
    deadline = time.monotonic() + 5
    while not shop.local.world.busy:
        assert time.monotonic() < deadline
        time.sleep(0.005)


class NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


OPENER = build_opener(NoRedirect)


@contextmanager
def open_shop(file: Path | None = None) -> Iterator[Shop]:
    receiver = Receiver()
    try:
        with checked_stripe(now=at("2026-11-16 10:30"), file=file) as local:
            shop = Shop(local, receiver)
            shop.open()
            yield shop
    finally:
        receiver.close()


class Receiver:
    """An address that webhooks are sent to: what arrived, and what it answers."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.status: Callable[[], int] = lambda: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((self.headers["Stripe-Signature"], body))
                self.send_response(receiver.status())
                self.send_header("Location", f"{receiver.url}/elsewhere")
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def events(self) -> list[Json]:
        return [json.loads(body) for _, body in self.posts]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def wait_for(self, type: str) -> Json:
        """The first event of the type, once it has arrived."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for event in self.events():
                if event["type"] == type:
                    return event
            time.sleep(0.01)
        raise AssertionError(f"no {type} in {self.types()}")

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
