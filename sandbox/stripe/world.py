"""All state of one local Stripe, and the one lock that guards it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.stripe.agenda import Agenda
from sandbox.stripe.clock import Clock
from sandbox.stripe.errors import no_such
from sandbox.stripe.failures import Failures
from sandbox.stripe.store import Json, Store


@dataclass
class Cause:
    """The request that events are put down to; none of it for what comes with time."""

    request: str | None = None
    idempotency_key: str | None = None


@dataclass
class Call:
    """One API request: what the path names, and the parameters as its endpoint reads them."""

    ids: list[str]
    params: Json = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.ids[0]


class World:
    """Read and change it only with `lock` held; whoever sends something lets go of it first."""

    def __init__(self, url: str, file: Path | None = None, now: int | None = None) -> None:
        self.url = url
        self.lock = threading.RLock()
        self.working = threading.Lock()
        self.wake = threading.Event()
        self.clock = Clock(now)
        self.store = Store(file)
        self.agenda = Agenda(self.store, self.wake.set)
        self.failures = Failures(self.clock)
        self.cause = Cause()
        self.busy: set[str] = set()
        self.delivered: Callable[[Json], None] = lambda event: None
        if saved := self.store.get("clock", "clock"):
            self.clock.offset = saved["offset"]

    def now(self) -> int:
        return self.clock.now()

    def set_clock(self, then: int) -> None:
        """Let the clock go on from there; where it goes on as it was, nothing is written."""
        before = self.clock.offset
        self.clock.advance_to(then)
        if self.clock.offset != before:
            row = {"object": "clock", "id": "clock", "offset": self.clock.offset}
            self.store.put(row)

    def save(self) -> None:
        self.store.commit()

    def fetch(self, kind: str, id: str, param: str | None = "id", status: int = 404) -> Json:
        """The object, or the refusal that says there is none."""
        found = self.store.get(kind, id)
        if found is None:
            raise no_such(kind.rpartition(".")[2], id, param, status)
        return found

    def customer(self, id: str, param: str = "id", status: int = 404) -> Json:
        """The customer, who must not be deleted."""
        customer = self.fetch("customer", id, param, status)
        if customer.get("deleted"):
            raise no_such("customer", id, param, status)
        return customer

    def named(self, kind: str, id: str, param: str) -> Json:
        """An object that a parameter names: without it the request is a bad one."""
        return self.fetch(kind, id, param, status=400)
