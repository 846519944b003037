"""A customer at the local Stripe, and the webhooks that it sends, posted to the real address."""

import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.management import call_command
from django.test import Client

from accounts.models import Customer
from billing import stripe_gateway, subscribing
from billing.models import Account
from sandbox.stripe.answers import render
from sandbox.stripe.server import LocalStripe
from tests.local_stripe import Json, Receiver, Shop, advance, at, checked_stripe, control

SECRETS = ["whsec_of_the_snapshots", "whsec_that_is_going"]
NOVEMBER, DECEMBER = at("2026-11-01 00:00"), at("2026-12-01 00:00")
NOW = at("2026-11-23 10:30")


@dataclass
class Till:
    """The local Stripe as `stripe_setup` leaves it; its events wait here until they are sent."""

    local: LocalStripe
    shop: Shop

    def events(self) -> list[Json]:
        """All that have happened, oldest first, as a webhook would bring them."""
        with self.local.world.lock:
            rows = self.local.world.store.all("event")
            return [render(self.local.world, row) for row in rows]

    def checkout(self, customer: Customer, card: str = "pm_card_visa") -> str:
        """Have the customer enter a card; give the address that he is sent back to."""
        url = subscribing.checkout_url(customer)
        status, back = self.shop.press(url, do=card)
        assert status == 303, back
        return back

    def use(self, customer: Customer, units: int, hour: str = "2026-11-23 09:00") -> None:
        stripe_gateway.send_meter_event(account_of(customer).stripe_customer_id, units, at(hour))
        advance(self.local, 5)

    def end_month(self, to: int = DECEMBER + 3_700) -> None:
        control(self.local, "POST", "clock", {"to": to})

    def press(self, url: str, **fields: str) -> tuple[int, str]:
        return self.shop.press(url, **fields)


@contextmanager
def open_till(settings: Any, now: int = NOW) -> Iterator[Till]:
    receiver = Receiver()
    try:
        with checked_stripe(now=now) as local:
            settings.STRIPE_API_BASE = local.url
            settings.STRIPE_WEBHOOK_SECRETS = SECRETS
            call_command("stripe_setup", stdout=StringIO())
            yield Till(local, Shop(local, receiver))
    finally:
        receiver.close()


def account_of(customer: Customer) -> Account:
    return Account.objects.get(customer=customer)


def signed(body: bytes, secret: str = SECRETS[0], moment: int | None = None) -> str:
    moment = int(time.time()) if moment is None else moment
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def post(body: bytes, signature: str) -> Any:
    return Client(raise_request_exception=False).post(
        "/webhooks/stripe",
        body,
        content_type="application/json",
        headers={"Stripe-Signature": signature},
    )


def send(event: Json) -> None:
    body = json.dumps(event).encode()
    answer = post(body, signed(body))
    assert answer.status_code == 204, answer.content


def send_all(events: Sequence[Json]) -> None:
    for event in events:
        send(event)


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)
