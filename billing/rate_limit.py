"""The rate limit, as the generic cell rate algorithm has it: one moment is all that is kept.

That moment, the theoretical arrival time (TAT), is when the burst will be whole again. Pure.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from billing.plans import Plan, Rate

NOTHING = timedelta(0)
SECOND = timedelta(seconds=1)


class Taken(NamedTuple):
    """What came of asking for one call: `wait` is NOTHING if it was given, or not asked for."""

    tat: datetime
    remaining: int
    reset: timedelta
    wait: timedelta


def take(rate: Rate, tat: datetime, now: datetime) -> Taken:
    """One call at `now`, if the rate has one left; else `tat` stays, and `wait` is how long."""
    interval = rate.interval
    rested = max(tat, now)
    debt = rested + interval - now
    room = rate.burst * interval
    if debt > room:
        return Taken(tat, 0, rested - now, debt - room)
    return Taken(rested + interval, (room - debt) // interval, debt, NOTHING)


def look(rate: Rate, tat: datetime, now: datetime) -> Taken:
    """How the rate stands at `now`, for a call that takes nothing from it."""
    debt = max(tat, now) - now
    room = max(rate.burst * rate.interval - debt, NOTHING)
    return Taken(tat, room // rate.interval, debt, NOTHING)


def seconds(time: timedelta) -> int:
    """Whole seconds after which the time is over."""
    return -(-time // SECOND)


@lru_cache(maxsize=16)
def policy_header(plan: Plan) -> str:
    """`RateLimit-Policy`: the burst, and in how many seconds all of it comes back."""
    window = seconds(plan.rate.burst * plan.rate.interval)
    return f'"{plan.name}";q={plan.rate.burst};w={window}'


def limit_header(plan: Plan, taken: Taken) -> str:
    """`RateLimit`: the calls that are left now, and the seconds until the burst is whole."""
    return f'"{plan.name}";r={taken.remaining};t={seconds(taken.reset)}'
