"""What a quantity costs by graduated tiers: pure arithmetic, exact, rounded once for each line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal

# Twelve places of a price times any quantity, without a rounding of its own.
EXACT = Context(prec=60)


@dataclass(frozen=True)
class Tier:
    """Units up to and with the `up_to`-th cost `unit` cents each; the last tier has no end."""

    up_to: int | None
    unit: Decimal


@dataclass(frozen=True)
class Part:
    """The units that fall into one tier (counted from 1), and their amount in whole cents."""

    tier: int
    quantity: int
    unit: Decimal
    amount: int


def graduated(tiers: Sequence[Tier], quantity: int) -> list[Part]:
    """One part for each tier that the quantity reaches; for nothing, one part of nothing."""
    return list(parts(tiers, quantity))


def parts(tiers: Sequence[Tier], quantity: int) -> Iterator[Part]:
    below = 0
    for number, tier in enumerate(tiers, 1):
        end = quantity if tier.up_to is None else min(quantity, tier.up_to)
        if end > below or number == 1:
            yield part(number, end - below, tier.unit)
        below = max(below, end)


def part(tier: int, quantity: int, unit: Decimal) -> Part:
    return Part(tier, quantity, unit, cents(EXACT.multiply(unit, Decimal(quantity))))


def cents(amount: Decimal) -> int:
    """The nearest whole cent, half a cent up."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP, EXACT))
