"""What customers can be on: a table of data. Prices are in micros, millionths of a US dollar.

`tiers` are graduated, as Stripe has them: each unit costs what the tier that it falls into says. A
plan without tiers is not billed, and its allowance is where it ends; in one with tiers the first
is free and is the allowance.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property


@dataclass(frozen=True)
class Tier:
    """Units of a month up to and with number `up_to` (None: all) cost `price` micros each."""

    up_to: int | None
    price: int


@dataclass(frozen=True)
class Rate:
    """So many calls a second for good, and `burst` at once after a rest."""

    per_second: int
    burst: int

    @cached_property
    def interval(self) -> timedelta:
        """What one call takes of the time; exact, if `per_second` divides a million."""
        return timedelta(seconds=1) / self.per_second


@dataclass(frozen=True, eq=False)  # there is one of each, and calls ask for its hash
class Plan:
    name: str
    title: str
    allowance: int
    rate: Rate
    max_images: int
    tiers: tuple[Tier, ...] = ()

    @property
    def is_billed(self) -> bool:
        return bool(self.tiers)


FREE_UNITS = 1_000
GRADUATED = (
    Tier(FREE_UNITS, 0),
    Tier(100_000, 500),
    Tier(1_000_000, 400),
    Tier(None, 300),
)

# By which Stripe's price of these tiers is found. One that is changed keeps its key: `stripe_setup`
# makes a new price then.
PRICE_LOOKUP_KEY = "predictions_monthly"

FREE = Plan("free", "Free", FREE_UNITS, Rate(5, 50), 100)
PAYG = Plan("payg", "Pay as you go", FREE_UNITS, Rate(100, 1_000), 1_000, GRADUATED)
# By agreement with the operator: the prices of the other, without its limits of pace.
VOLUME = Plan("volume", "Volume", FREE_UNITS, Rate(20_000, 40_000), 2_000, GRADUATED)
# What test keys are on, whatever the plan of their customer.
SANDBOX = Plan("sandbox", "Sandbox", 20_000, Rate(20, 400), 100)

# What a customer can be on, by name.
PLANS = {plan.name: plan for plan in (FREE, PAYG, VOLUME)}


def plan_of(name: str, livemode: bool) -> Plan:
    """The plan whose limits hold for a call: of the customer, or for test keys the sandbox."""
    return PLANS[name] if livemode else SANDBOX
