"""Where an account stands, in the form in which programs are told. Money is exact."""

from datetime import datetime, timedelta

from billing import rating
from billing.decision import AccountState, first_instant, next_month
from billing.plans import PLANS, plan_of

SECOND = timedelta(seconds=1)


def of_the_month(account: AccountState, livemode: bool, spent: int) -> dict[str, object]:
    """What every answer says of the month, which has cost `spent` micros so far.

    A plan that is not billed has no spend limit.
    """
    plan = plan_of(account.plan, livemode)
    return {
        "period": account.period.isoformat()[:7],
        "period_units": account.units(livemode),
        "remaining_free": remaining_free(account, livemode),
        "spend_limit_remaining": (
            rating.text(spend_limit_remaining(account, spent)) if plan.is_billed else None
        ),
    }


def in_full(account: AccountState, livemode: bool) -> dict[str, object]:
    """Plan, limits and the cost of the month so far, of live keys or of the sandbox."""
    plan = plan_of(account.plan, livemode)
    spent = account.cost if plan.is_billed else 0
    return {
        "plan": plan.name,
        "status": account.status,
        "allowance": plan.allowance,
        "rate": {"per_second": plan.rate.per_second, "burst": plan.rate.burst},
        "cost": rating.text(spent),
        "currency": rating.CURRENCY,
        "spend_limit": rating.text(account.spend_limit) if plan.is_billed else None,
        **of_the_month(account, livemode, spent),
    }


def remaining_free(account: AccountState, livemode: bool) -> int:
    """Units of the month's allowance that are left."""
    return max(plan_of(account.plan, livemode).allowance - account.units(livemode), 0)


def forecast(account: AccountState, now: datetime) -> int:
    """What the month will cost if it goes on as it went so far, in micros: at most the limit."""
    first = first_instant(account.period)
    whole, gone = next_month(account.period) - first, now - first
    if gone <= timedelta(0):
        return account.cost
    units = account.live_units * (whole // SECOND) // max(gone // SECOND, 1)
    expected = rating.price(PLANS[account.plan].tiers, units)
    return max(account.cost, min(expected, account.spend_limit))


def spend_limit_remaining(account: AccountState, spent: int) -> int:
    """In micros: nothing, if the limit was set below what was spent already."""
    return max(account.spend_limit - spent, 0)
