"""Two Stripes for one scenario: the local one, and the real one in test mode, with a test clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from billing import stripe_gateway
from billing.decision import first_instant, next_month
from sandbox.stripe.server import LocalStripe
from tests.local_stripe import advance, at, checked_stripe, control

HOUR = 3_600
PATIENCE_SECONDS = 600  # the real meter counts, and a test clock arrives, minutes later
PAUSE_SECONDS = 10
TEST_KEYS = ("sk_test_", "rk_test_")


class NotATestKey(Exception):
    """Money would move."""


@dataclass
class World:
    """A Stripe in the middle of a month, which begins at `start` and ends at `end`.

    After so many `pauses` it has done all that it does later.
    """

    now: int
    pauses = 2

    @property
    def start(self) -> int:
        return int(first_instant(self.month).timestamp())

    @property
    def end(self) -> int:
        return int(next_month(self.month).timestamp())

    @property
    def month(self) -> Any:
        return datetime.fromtimestamp(self.now, UTC).date().replace(day=1)

    def customer(self, card: str = "pm_card_visa") -> str:
        made = stripe_gateway.v1().customers.create({"email": "owner@example.com", **self.clock()})
        self.give_card(made.id, card)
        return str(made.id)

    def give_card(self, customer: str, card: str) -> None:
        method = stripe_gateway.v1().payment_methods.attach(card, {"customer": customer})
        stripe_gateway.make_card_default(customer, method.id)

    def clock(self) -> dict[str, str]:
        """What a customer is made with, to live by the clock of this world."""
        return {}

    def go_to(self, moment: int) -> None:
        raise NotImplementedError

    def pause(self) -> None:
        raise NotImplementedError

    def comes_true(self, holds: Callable[[], bool]) -> bool:
        """Whether it does, at once or later: Stripe counts and collects behind one's back."""
        for _ in range(self.pauses):
            if holds():
                return True
            self.pause()
        return holds()


@dataclass
class LocalWorld(World):
    local: LocalStripe

    def go_to(self, moment: int) -> None:
        control(self.local, "POST", "clock", {"to": moment})

    def pause(self) -> None:
        advance(self.local, 5)


@dataclass
class LiveWorld(World):
    """Each customer has a test clock of his own; Stripe deletes him with it."""

    clocks: list[str] = field(default_factory=list)
    pauses = PATIENCE_SECONDS // PAUSE_SECONDS

    def clock(self) -> dict[str, str]:
        clocks = stripe_gateway.v1().test_helpers.test_clocks
        self.clocks.append(clocks.create({"frozen_time": self.now, "name": "mnistapi"}).id)
        return {"test_clock": self.clocks[-1]}

    def go_to(self, moment: int) -> None:
        clocks = stripe_gateway.v1().test_helpers.test_clocks
        for id in self.clocks:
            clocks.advance(id, {"frozen_time": moment})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while any(clocks.retrieve(id).status == "advancing" for id in self.clocks):
            assert time.monotonic() < deadline, "the test clock does not arrive"
            time.sleep(2)

    def pause(self) -> None:
        time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        for id in self.clocks:
            stripe_gateway.v1().test_helpers.test_clocks.delete(id)


@contextmanager
def local_world(settings: Any) -> Iterator[World]:
    now = at("2026-11-16 10:30")
    with checked_stripe(now=now) as local:
        settings.STRIPE_API_BASE = local.url
        yield LocalWorld(now, local)


@contextmanager
def live_world(settings: Any, key: str) -> Iterator[World]:
    """Stripe's own, for a key of its test mode and no other; its customers go at the end."""
    if not key.startswith(TEST_KEYS):
        raise NotATestKey("STRIPE_SECRET_KEY must be sk_test_… or rk_test_….")
    settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE = key, ""
    settings.PUBLIC_URL = "https://mnistapi.example.com"  # it sends no webhooks to a laptop
    world = LiveWorld(int(time.time()))
    assert world.now - world.start > 4 * HOUR, "The month is too young: come again in a few hours."
    try:
        yield world
    finally:
        world.close()
