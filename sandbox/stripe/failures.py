"""Failing on command: the troubles that a client of Stripe has to live through."""

import random
from dataclasses import dataclass

from sandbox.stripe.clock import Clock
from sandbox.stripe.errors import broken, invalid, rate_limited
from sandbox.stripe.store import Json

# What may befall a request: before it is done, after, and instead of its answer.
REQUESTS = ("error", "error_after", "rate_limit", "lost_answer", "slow", "outage")
WEBHOOKS = ("webhooks_doubled", "webhooks_reordered", "webhooks_lost")


@dataclass
class Failure:
    """`times` is how often it still happens; without it, until it is cleared.

    `seconds`: how long a slow request waits (real time), an outage lasts (by the clock here), or
    over how long reordered webhooks are scattered (by the clock here).
    """

    kind: str
    method: str = ""
    path: str = ""
    times: int | None = None
    seconds: float = 0
    until: int | None = None

    def concerns(self, kind: str, method: str, path: str) -> bool:
        return (
            self.kind == kind
            and self.times != 0
            and self.method in ("", method)
            and path.startswith(self.path)
        )


class Failures:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ordered: list[Failure] = []
        self.random = random.Random(0)

    def order(self, wish: Json) -> None:
        if wish.get("kind") not in (*REQUESTS, *WEBHOOKS):
            raise invalid(f"Unknown failure: {wish.get('kind')}", "kind")
        failure = Failure(**wish)
        if failure.kind == "outage":
            failure.until = self.clock.now() + int(failure.seconds)
        self.ordered.append(failure)

    def clear(self) -> None:
        self.ordered.clear()

    def happens(self, kind: str, method: str = "", path: str = "") -> Failure | None:
        """The failure that befalls this request, which is thereby counted."""
        for failure in self.ordered:
            if failure.concerns(kind, method, path):
                if failure.times:
                    failure.times -= 1
                return failure
        return None

    def outage_ends(self) -> int | None:
        """When the outage that goes on now will be over."""
        ends = [failure.until for failure in self.ordered if failure.until]
        return max((end for end in ends if end > self.clock.now()), default=None)

    def refuse(self, method: str, path: str) -> None:
        """Raise what befalls a request before anything of it is done."""
        if self.outage_ends():
            raise broken(503)
        if self.happens("rate_limit", method, path):
            raise rate_limited("Too many requests, as the local Stripe was told to say.")
        if self.happens("error", method, path):
            raise broken()

    def scatter(self, failure: Failure) -> int:
        """How much later a reordered webhook is sent."""
        return self.random.randint(0, int(failure.seconds) or 60)
