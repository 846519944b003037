"""The decision on one call: an account, a key and a call go in, a verdict comes out.

Pure, so that every limit can be tested without a database. `billing.ledger` reads the account under
its lock, decides here, and writes what the verdict says.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from accounts.authentication import refusal_of
from billing import rate_limit, rating
from billing.plans import PLANS, Plan, plan_of
from billing.rate_limit import Taken
from mnistapi import problems
from mnistapi.problems import (
    ACCOUNT_SUSPENDED,
    PAYMENT_REQUIRED,
    RATE_LIMITED,
    SPEND_LIMIT_REACHED,
    TEST_ALLOWANCE_USED_UP,
    TOO_MANY_IMAGES,
    Problem,
    ProblemType,
)

ACTIVE, SUSPENDED, PAYMENT_FAILED = "active", "suspended", "payment_failed"
LEVELS = (100, 80, 50)  # percent, at which the customer is told


class Charge(NamedTuple):
    """What a call asks of the books. `units` is 0 for a call that is refused or free already."""

    customer_id: int
    key_id: int
    livemode: bool
    release: str
    units: int


class AccountState(NamedTuple):
    """A customer's row: `period` is the first day of the month that is counted.

    `…_tat` is the state of a rate limit, `…_told` the highest of LEVELS that was announced.
    """

    plan: str
    status: str
    spend_limit_cents: int
    period: date
    live_units: int
    test_units: int
    live_tat: datetime
    test_tat: datetime
    allowance_told: int
    spend_told: int

    def units(self, livemode: bool) -> int:
        return self.live_units if livemode else self.test_units

    @property
    def cost(self) -> int:
        """Of the month so far, in micros."""
        return rating.price(PLANS[self.plan].tiers, self.live_units)

    @property
    def spend_limit(self) -> int:
        """In micros."""
        return self.spend_limit_cents * rating.MICROS_PER_CENT


class KeyState(NamedTuple):
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


class Notice(NamedTuple):
    """Tell the customer that `percent` of the allowance or the spend limit is used up.

    `limit` is in units for the allowance, in cents for the spend limit.
    """

    kind: str
    percent: int
    limit: int


class Verdict(NamedTuple):
    """What the books say of a call: counted at `at`, for `units`, answered by `release`.

    A call that is not answered 200 has neither units nor release. `account` is the account behind
    this call, `refusal` why the books refuse what would have been answered. In micros, `cost` is
    what the call costs, and `spent` what the month does with it; both are 0 for calls without units
    and on plans that are not billed.
    """

    at: datetime
    units: int
    release: str
    account: AccountState
    plan: Plan
    taken: Taken
    cost: int = 0
    spent: int = 0
    notices: tuple[Notice, ...] = ()
    refusal: Problem | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What every answer says of the rate limit."""
        return {
            "RateLimit-Policy": rate_limit.policy_header(self.plan),
            "RateLimit": rate_limit.limit_header(self.plan, self.taken),
        }


def decide(account: AccountState, key: KeyState, charge: Charge, now: datetime) -> Verdict:
    """Decide on a call at `now`, by the clock of the books.

    A month never runs backwards: should that clock be set back over the turn of a month, calls are
    counted in the first instant of the newer one.
    """
    account = in_the_month_of(now, account)
    at = max(now, first_instant(account.period))
    plan = plan_of(account.plan, charge.livemode)
    tat = account.live_tat if charge.livemode else account.test_tat
    if refusal := refusal_of_key(account, key, at):
        seen = rate_limit.look(plan.rate, tat, at)
        return Verdict(at, 0, "", account, plan, seen, refusal=refusal)
    taken = rate_limit.take(plan.rate, tat, at)
    if refusal := refusal_of_rate(plan, taken):
        return Verdict(at, 0, "", account, plan, taken, refusal=refusal)
    if not charge.units:
        return Verdict(at, 0, "", with_tat(account, charge, taken.tat), plan, taken)
    counted = with_tat_and_units(account, charge, taken.tat)
    before = rating.price(plan.tiers, account.live_units)
    spent = rating.price(plan.tiers, counted.live_units)
    if refusal := refusal_of_units(plan, account, spent, charge, at):
        account = with_tat(account, charge, taken.tat)
        account, notices = announced(account, charge.livemode, before, refusal)
        return Verdict(at, 0, "", account, plan, taken, refusal=refusal, notices=notices)
    counted, notices = announced(counted, charge.livemode, spent)
    cost = spent - before
    return Verdict(at, charge.units, charge.release, counted, plan, taken, cost, spent, notices)


def in_the_month_of(now: datetime, account: AccountState) -> AccountState:
    if month_of(now) <= account.period:
        return account
    return account._replace(
        period=month_of(now), live_units=0, test_units=0, allowance_told=0, spend_told=0
    )


def month_of(at: datetime) -> date:
    return date(at.year, at.month, 1)


@lru_cache(maxsize=64)
def first_instant(period: date) -> datetime:
    return datetime(period.year, period.month, 1, tzinfo=UTC)


def next_month(period: date) -> datetime:
    """When the month behind this one begins."""
    return first_instant((period + timedelta(days=31)).replace(day=1))


def with_tat(account: AccountState, charge: Charge, tat: datetime) -> AccountState:
    return account._replace(live_tat=tat) if charge.livemode else account._replace(test_tat=tat)


def with_tat_and_units(account: AccountState, charge: Charge, tat: datetime) -> AccountState:
    """In one step: to make an account anew takes a tenth of the decision."""
    if charge.livemode:
        return account._replace(live_tat=tat, live_units=account.live_units + charge.units)
    return account._replace(test_tat=tat, test_units=account.test_units + charge.units)


def refusal_of_key(account: AccountState, key: KeyState, at: datetime) -> Problem | None:
    if refusal := refusal_of(key.revoked_at, key.expires_at, at):
        return refusal
    if account.status == PAYMENT_FAILED:
        return Problem(
            problems.PAYMENT_FAILED,
            "An invoice of this account is not paid. Pay it from your billing page: calls are "
            "answered again at once.",
        )
    if account.status != ACTIVE:
        return Problem(ACCOUNT_SUSPENDED, "This account is suspended. Write to support.")
    return None


def refusal_of_rate(plan: Plan, taken: Taken) -> Problem | None:
    if not taken.wait:
        return None
    rate = plan.rate
    return Problem(
        RATE_LIMITED,
        f"{rate.per_second} calls a second are answered, {rate.burst} at once after a rest. "
        f"The next is in {taken.wait.total_seconds():.3f} seconds.",
        {"Retry-After": str(rate_limit.seconds(taken.wait))},
    )


def refusal_of_units(
    plan: Plan, account: AccountState, spent: int, charge: Charge, at: datetime
) -> Problem | None:
    """Why these units take the account, whose month would cost `spent`, over one of its limits.

    A call that fits only partly is refused whole.
    """
    if charge.units > plan.max_images:
        return Problem(
            TOO_MANY_IMAGES, f"{charge.units} images were sent; {plan.max_images} may be."
        )
    if not plan.is_billed:
        left = max(plan.allowance - account.units(charge.livemode), 0)
        return used_up(plan, charge, left, account.period, at) if charge.units > left else None
    if spent > account.spend_limit:
        return Problem(
            SPEND_LIMIT_REACHED,
            f"This call would take the month to ${rating.text(spent)}, and your limit is "
            f"${rating.text(account.spend_limit)}. Raise it on your billing page, or wait for the "
            f"next month.",
        )
    return None


def used_up(plan: Plan, charge: Charge, left: int, period: date, at: datetime) -> Problem:
    """The allowance of a plan that is not billed does not hold the units of the call."""
    has = f"This call is of {charge.units}, and {left} of the month's {plan.allowance:,} are left."
    if charge.livemode:
        return Problem(PAYMENT_REQUIRED, f"{has} Add a card on your billing page to go on.")
    return Problem(
        TEST_ALLOWANCE_USED_UP,
        f"{has} Test keys have more next month.",
        {"Retry-After": str(rate_limit.seconds(next_month(period) - at))},
    )


def announced(
    account: AccountState, livemode: bool, spent: int, refusal: Problem | None = None
) -> tuple[AccountState, tuple[Notice, ...]]:
    """The levels that this call reached for the first time this month, noted as announced.

    A call that is refused for a limit has reached all of it. Test keys announce nothing.
    """
    if not livemode:
        return account, ()
    allowance, spend = levels(account, spent, refusal.type if refusal else None)
    notices = []
    if allowance > account.allowance_told:
        account = account._replace(allowance_told=allowance)
        notices.append(Notice("allowance", allowance, PLANS[account.plan].allowance))
    if spend > account.spend_told:
        account = account._replace(spend_told=spend)
        notices.append(Notice("spend", spend, account.spend_limit_cents))
    return account, tuple(notices)


def levels(
    account: AccountState, spent: int, refused: ProblemType | None = None
) -> tuple[int, int]:
    """The levels of allowance and spend limit that an account has reached."""
    plan = PLANS[account.plan]
    allowance = level(account.live_units, plan.allowance)
    spend = level(spent, account.spend_limit)
    if refused is PAYMENT_REQUIRED:
        allowance = LEVELS[0]
    if refused is SPEND_LIMIT_REACHED:
        spend = LEVELS[0]
    return allowance, spend


def level(used: int, limit: int) -> int:
    """The highest of LEVELS that so much of the limit has reached: 0 before the first."""
    if not used:
        return 0
    for percent in LEVELS:
        if used * 100 >= percent * limit:
            return percent
    return 0
