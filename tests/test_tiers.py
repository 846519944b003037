"""The arithmetic of graduated tiers against a second one that is slow and simple."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe.tiers import Part, Tier, graduated

units = st.decimals(min_value=0, max_value=1_000, places=12, allow_nan=False)


@st.composite
def tier_lists(draw: st.DrawFn) -> list[Tier]:
    ends = sorted(draw(st.sets(st.integers(1, 400), max_size=4)))
    return [Tier(end, draw(units)) for end in [*ends, None]]


@given(tier_lists(), st.integers(0, 500))
def test_each_unit_costs_what_its_tier_says(tiers: list[Tier], quantity: int) -> None:
    totals: dict[int, Fraction] = {1: Fraction(0)}
    counts: dict[int, int] = {1: 0}
    for unit in range(1, quantity + 1):
        number = next(n for n, t in enumerate(tiers, 1) if t.up_to is None or unit <= t.up_to)
        totals[number] = totals.get(number, Fraction(0)) + Fraction(tiers[number - 1].unit)
        counts[number] = counts.get(number, 0) + 1
    parts = graduated(tiers, quantity)
    assert {part.tier: part.quantity for part in parts} == counts
    assert {part.tier: part.amount for part in parts} == {
        number: int(total + Fraction(1, 2)) for number, total in totals.items()
    }


@pytest.mark.parametrize(
    ("unit", "quantity", "amount"),
    [("0.05", 9, 0), ("0.05", 10, 1), ("0.05", 29, 1), ("0.05", 30, 2), ("0.000000000001", 1, 0)],
)
def test_half_a_cent_is_rounded_up(unit: str, quantity: int, amount: int) -> None:
    tier = Tier(None, Decimal(unit))
    assert graduated([tier], quantity) == [Part(1, quantity, tier.unit, amount)]


def test_a_price_of_many_places_and_a_huge_quantity_stay_exact() -> None:
    tier = Tier(None, Decimal("1000.000000000001"))
    assert graduated([tier], 10**15)[0].amount == 10**18 + 1_000
