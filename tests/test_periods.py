"""Where billing periods end: calendar months from an anchor, in UTC."""

import pytest

from sandbox.stripe.periods import day_after, months_after, next_after
from tests.local_stripe import at


@pytest.mark.parametrize(
    ("anchor", "moment", "end"),
    [
        ("2026-12-01 00:00", "2026-11-01 00:00", "2026-12-01 00:00"),
        ("2026-12-01 00:00", "2026-12-01 00:00", "2027-01-01 00:00"),
        ("2026-12-01 00:00", "2026-11-30 23:59", "2026-12-01 00:00"),
        ("2026-01-31 12:00", "2026-01-31 12:00", "2026-02-28 12:00"),
        ("2026-01-31 12:00", "2026-02-28 12:00", "2026-03-31 12:00"),
        ("2026-01-31 12:00", "2028-02-01 00:00", "2028-02-29 12:00"),
    ],
)
def test_periods_end_by_the_calendar(anchor: str, moment: str, end: str) -> None:
    assert next_after(at(anchor), at(moment)) == at(end)


def test_months_are_counted_across_years_both_ways() -> None:
    assert months_after(at("2026-12-15 00:00"), 2) == at("2027-02-15 00:00")
    assert months_after(at("2026-01-15 00:00"), -1) == at("2025-12-15 00:00")


@pytest.mark.parametrize(
    ("moment", "day", "then"),
    [
        ("2026-11-16 10:00", 1, "2026-12-01 00:00"),
        ("2026-11-30 23:59", 31, "2026-12-31 00:00"),
        ("2026-11-16 10:00", 31, "2026-11-30 00:00"),
        ("2026-11-01 00:00", 1, "2026-12-01 00:00"),
        ("2026-12-31 10:00", 1, "2027-01-01 00:00"),
    ],
)
def test_the_next_such_day_of_a_month(moment: str, day: int, then: str) -> None:
    assert day_after(at(moment), day, 0, 0, 0) == at(then)
