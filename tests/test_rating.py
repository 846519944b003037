from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import rating
from billing.plans import FREE, GRADUATED, PAYG, Tier

micros = st.integers(0, 10**15)


@st.composite
def graduated(draw: st.DrawFn) -> tuple[Tier, ...]:
    ends = sorted(draw(st.sets(st.integers(1, 300), max_size=4)))
    prices = st.integers(0, 1_000)
    return (*(Tier(end, draw(prices)) for end in ends), Tier(None, draw(prices)))


def price_unit_by_unit(tiers: tuple[Tier, ...], units: int) -> int:
    """The same, one unit after the other: each costs what the first tier that holds it says."""
    total = 0
    for number in range(1, units + 1):
        for tier in tiers:
            if tier.up_to is None or number <= tier.up_to:
                total += tier.price
                break
    return total


@given(graduated(), st.integers(0, 400))
def test_a_price_is_that_of_its_units_one_by_one(tiers: tuple[Tier, ...], units: int) -> None:
    assert rating.price(tiers, units) == price_unit_by_unit(tiers, units)


@given(st.integers(0, 5_000_000), st.integers(0, 5_000_000))
def test_the_costs_of_two_calls_are_the_cost_of_both(first: int, second: int) -> None:
    before, both = rating.price(GRADUATED, first), rating.price(GRADUATED, first + second)
    assert before <= both <= before + rating.price((Tier(None, 500),), second)


@pytest.mark.parametrize(
    ("units", "cost"),
    [
        (0, 0),
        (1_000, 0),
        (1_001, 500),
        (100_000, 49_500_000),
        (100_001, 49_500_400),
        (1_000_000, 409_500_000),
        (1_000_001, 409_500_300),
    ],
)
def test_each_tier_begins_behind_the_one_before(units: int, cost: int) -> None:
    assert rating.price(PAYG.tiers, units) == cost


def test_a_plan_without_tiers_costs_nothing() -> None:
    assert rating.price(FREE.tiers, 10**9) == 0


@given(micros)
def test_cents_are_rounded_half_up(amount: int) -> None:
    exact = Decimal(amount) / 10_000
    assert rating.cents(amount) == exact.quantize(Decimal(1), ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("amount", "cents"), [(4_999, 0), (5_000, 1), (14_999, 1), (15_000, 2), (25_000, 3)]
)
def test_half_a_cent_is_rounded_up(amount: int, cents: int) -> None:
    assert rating.cents(amount) == cents


@given(micros)
def test_a_text_is_exact_and_no_longer_than_it_must_be(amount: int) -> None:
    text = rating.text(amount)
    assert Decimal(text) == Decimal(amount) / 1_000_000
    fraction = text.partition(".")[2]
    assert 2 <= len(fraction) <= 6
    assert len(fraction) == 2 or not fraction.endswith("0")


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0.00"), (500, "0.0005"), (1, "0.000001"), (100_000, "0.10"), (20_000_000, "20.00")],
)
def test_a_text_is_in_dollars_at_least_to_the_cent(amount: int, text: str) -> None:
    assert rating.text(amount) == text
