"""The books once more, kept with pen and paper: what tests/test_state_machine.py compares with.

Nothing here is shared with `billing.decision` but the table of plans. The rate is a debt of time
that is paid off while one waits, the price is added up unit by unit of each tier, and times are
whole microseconds.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from billing.plans import PLANS, SANDBOX, Plan

Month = tuple[int, int]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 24 * 3600 * 10**6


def micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def month_of(micros: int) -> Month:
    return moment(micros).year, moment(micros).month


def beginning(month: Month) -> int:
    return micros(datetime(*month, 1, tzinfo=UTC))


@dataclass
class Debt:
    """What the calls of one mode owe: `owed` microseconds of waiting at the time `since`."""

    owed: int
    since: int

    def at(self, now: int) -> int:
        return max(0, self.owed - (now - self.since))


@dataclass
class PaperAccount:
    plan: str
    month: Month
    units: dict[bool, int]  # by livemode, as all that follows
    debts: dict[bool, Debt]
    limit: int  # in cents
    standing: str = ""  # why every call is refused, if it is
    told: dict[str, int] = field(default_factory=lambda: {"allowance": 0, "spend": 0})

    def plan_for(self, livemode: bool) -> Plan:
        return PLANS[self.plan] if livemode else SANDBOX

    def cost(self, more: int = 0) -> int:
        """Of the live units, and so many more, in micros."""
        left, end, total = self.units[True] + more, 0, 0
        for tier in PLANS[self.plan].tiers:
            here = left if tier.up_to is None else min(left, tier.up_to - end)
            total, left, end = total + here * tier.price, left - here, tier.up_to or 0
        return total

    def most(self, livemode: bool) -> int:
        """The units that its limits have left this month, or the images of one request."""
        plan, left = self.plan_for(livemode), 0
        if not plan.tiers:
            return max(plan.allowance - self.units[livemode], 0)
        while left < plan.max_images and self.cost(left + 1) <= self.limit * 10_000:
            left += 1
        return left

    def turn_to(self, month: Month) -> None:
        if month > self.month:
            self.month, self.units = month, {True: 0, False: 0}
            self.told = {"allowance": 0, "spend": 0}

    def share(self, kind: str) -> int:
        """50, 80 or 100: the percent of allowance or spend limit that are used up."""
        used, of = self.units[True], PLANS[self.plan].allowance
        if kind == "spend":
            used, of = self.cost(), self.limit * 10_000
        return max((step for step in (50, 80, 100) if used and used / step >= of / 100), default=0)

    def limit_of(self, kind: str) -> int:
        return self.limit if kind == "spend" else PLANS[self.plan].allowance


@dataclass
class PaperKey:
    customer: int
    livemode: bool
    is_revoked: bool = False
    expires: int | None = None

    def lives_at(self, now: int) -> bool:
        return not self.is_revoked and (self.expires is None or now < self.expires)


@dataclass(frozen=True)
class PaperCall:
    """`units` is 0 for what is no image; `body` stands for the bytes that were sent."""

    id: UUID
    key: int
    units: int
    body: str
    retry: str | None


@dataclass(frozen=True)
class Outcome:
    """`code` is "" for an answer; `id` is the call that it is the answer to."""

    code: str
    id: UUID
    cost: int = 0
    is_replayed: bool = False


Row = tuple[int, str, int, str]  # key, release, units, problem
Identity = tuple[int, bool, str]


@dataclass
class PaperBooks:
    now: int
    accounts: dict[int, PaperAccount] = field(default_factory=dict)
    keys: dict[int, PaperKey] = field(default_factory=dict)
    log: dict[UUID, Row] = field(default_factory=dict)
    hours: Counter[tuple[int, str, int, str]] = field(default_factory=Counter)
    stored: dict[Identity, tuple[str, UUID, int]] = field(default_factory=dict)
    notices: set[tuple[int, Month, str, int, int]] = field(default_factory=set)

    def settle(self, call: PaperCall) -> Outcome:
        key = self.keys[call.key]
        account = self.accounts[key.customer]
        account.turn_to(month_of(self.now))
        at = max(self.now, beginning(account.month))
        plan, debt = account.plan_for(key.livemode), account.debts[key.livemode]
        interval = 1_000_000 // plan.rate.per_second
        if key.is_revoked:
            return Outcome("revoked_key", call.id)
        if key.expires is not None and at >= key.expires:
            return Outcome("expired_key", call.id)
        if account.standing:
            return self.refuse(call, at, account.standing)
        if debt.at(at) > (plan.rate.burst - 1) * interval:
            return self.refuse(call, at, "rate_limited")
        account.debts[key.livemode] = Debt(debt.at(at) + interval, at)
        identity = (key.customer, key.livemode, call.retry or "")
        body, id, expires = self.stored.get(identity, ("", call.id, 0))
        if call.retry and self.now < expires:
            if body == call.body:
                return Outcome("", id, is_replayed=True)
            return self.refuse(call, at, "idempotency_key_reused")
        if not call.units:
            return self.refuse(call, at, "wrong_shape")
        if problem := self.problem_with(call.units, account, key, plan):
            limits = {"payment_required": "allowance", "spend_limit_reached": "spend"}
            self.tell(key, account, limits.get(problem))
            return self.refuse(call, at, problem)
        if call.retry:
            self.stored[identity] = (call.body, call.id, self.now + DAY)
        return self.count(call, at, account, key)

    def problem_with(
        self, units: int, account: PaperAccount, key: PaperKey, plan: Plan
    ) -> str | None:
        if units > plan.max_images:
            return "too_many_images"
        if plan.tiers:
            too_dear = account.cost(units) > account.limit * 10_000
            return "spend_limit_reached" if too_dear else None
        if account.units[key.livemode] + units <= plan.allowance:
            return None
        return "payment_required" if key.livemode else "test_allowance_used_up"

    def count(self, call: PaperCall, at: int, account: PaperAccount, key: PaperKey) -> Outcome:
        cost = account.cost(call.units) - account.cost() if key.livemode else 0
        account.units[key.livemode] += call.units
        self.tell(key, account)
        self.write(call, at, "fake-1", call.units, "")
        return Outcome("", call.id, cost)

    def refuse(self, call: PaperCall, at: int, code: str) -> Outcome:
        self.write(call, at, "", 0, code)
        return Outcome(code, call.id)

    def write(self, call: PaperCall, at: int, release: str, units: int, problem: str) -> None:
        self.log[call.id] = (call.key, release, units, problem)
        hour = at // (3600 * 10**6)
        for name, number in (("calls", 1), ("units", units), ("errors", int(not units))):
            self.hours[call.key, release, hour, name] += number

    def tell(self, key: PaperKey, account: PaperAccount, reached: str | None = None) -> None:
        if not key.livemode:
            return
        for kind in ("allowance", "spend"):
            percent = 100 if kind == reached else account.share(kind)
            if percent > account.told[kind]:
                account.told[kind] = percent
                told = (key.customer, account.month, kind, percent, account.limit_of(kind))
                self.notices.add(told)

    def change(self, customer: int, **fields: object) -> None:
        account = self.accounts[customer]
        for name, value in fields.items():
            setattr(account, name, value)
        account.told = {kind: min(told, account.share(kind)) for kind, told in account.told.items()}

    def instants(self) -> list[int]:
        """When something ends: keys, and what is stored."""
        ends = [key.expires for key in self.keys.values() if key.expires]
        return ends + [expires for _, _, expires in self.stored.values()]

    def totals(self) -> dict[tuple[int, str, int], tuple[int, int, int]]:
        """Calls, units and errors by key, release and hour."""
        hours: Iterable[tuple[int, str, int]] = {entry[:3] for entry in self.hours}
        names = ("calls", "units", "errors")
        return {hour: tuple(self.hours[*hour, name] for name in names) for hour in hours}  # type: ignore[misc]
