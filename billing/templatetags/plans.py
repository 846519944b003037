"""Plans and money, as templates show them to people."""

from typing import NamedTuple

from django import template

from billing import rating
from billing.plans import FREE, PAYG, SANDBOX, Plan

register = template.Library()


class Step(NamedTuple):
    """The price of the units of a month from number `first` to `last` (None: without end)."""

    first: int
    last: int | None
    price: int


PUBLIC = (SANDBOX, FREE, PAYG)


@register.simple_tag
def public_plans(mine: Plan | None = None) -> list[Plan]:
    """What anyone can be on; and what I am on, should that be by agreement."""
    return [*PUBLIC, mine] if mine and mine not in PUBLIC else [*PUBLIC]


@register.simple_tag
def sandbox() -> Plan:
    return SANDBOX


@register.filter
def steps(plan: Plan) -> list[Step]:
    """The tiers of a plan that cost something."""
    ends = [0, *(tier.up_to or 0 for tier in plan.tiers)]
    return [
        Step(before + 1, tier.up_to, tier.price)
        for before, tier in zip(ends, plan.tiers, strict=False)
        if tier.price
    ]


@register.filter
def price_of_month(units: int) -> int:
    """What so many units of a month cost who pays as he goes, in micros."""
    return rating.price(PAYG.tiers, units)


@register.filter
def money(micros: int) -> str:
    return rating.shown(micros)


@register.filter
def money_to_the_cent(micros: int) -> str:
    return rating.shown(rating.cents(micros) * rating.MICROS_PER_CENT)


@register.filter
def percent_of(part: int, whole: int) -> float:
    """Of nothing, everything is none."""
    return round(100 * part / whole, 2) if whole else 0


@register.filter
def count(number: int) -> str:
    """With its thousands apart: 1,000,000."""
    return f"{number:,}"
