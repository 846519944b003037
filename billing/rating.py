"""From units to money: the graduated price, exact, in integers of micros (millionths of a dollar).

Pure. What is billed is rounded once, at the end, in `cents`; what is shown is exact.
"""

from collections.abc import Sequence

from billing.plans import Tier

MICROS_PER_DOLLAR = 1_000_000
MICROS_PER_CENT = 10_000
CURRENCY = "usd"


def price(tiers: Sequence[Tier], units: int) -> int:
    """What the first `units` units of a month cost together, in micros."""
    total = counted = 0
    for tier in tiers:
        end = units if tier.up_to is None else min(units, tier.up_to)
        if end <= counted:
            break
        total += (end - counted) * tier.price
        counted = end
    return total


def cents(micros: int) -> int:
    """Rounded to the cent, half a cent up, as an invoice is."""
    return (micros + MICROS_PER_CENT // 2) // MICROS_PER_CENT


def text(micros: int) -> str:
    """Dollars without rounding, at least to the cent: 500 is "0.0005", 20_000_000 is "20.00"."""
    dollars, rest = divmod(micros, MICROS_PER_DOLLAR)
    digits = str(MICROS_PER_DOLLAR + rest)[1:].rstrip("0")  # of the rest, with its leading zeros
    return f"{dollars}.{digits.ljust(2, '0')}"


def shown(micros: int) -> str:
    """The same for people: "$0.0005", "$20,000.00"."""
    dollars, _, rest = text(micros).partition(".")
    return f"${int(dollars):,}.{rest}"
