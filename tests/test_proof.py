"""The proof of a month: what agrees is silent, and what does not is named."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing.plans import GRADUATED
from billing.proof import Billed, Evidence

NINE = datetime(2026, 10, 3, 9, tzinfo=UTC)
TEN = NINE + timedelta(hours=1)
OVER = datetime(2026, 11, 1, tzinfo=UTC)
HOURS = {NINE: 1_000, TEN: 468}


def evidence(**changes: Any) -> Evidence:
    """1,468 units, of which 468 cost 0.05 cents each: $0.23."""
    agreeing: dict[str, Any] = {
        "log": HOURS,
        "pushed": HOURS,
        "metered": HOURS,
        "invoice": Billed("in_1", 1_468, 23),
    }
    fixed: dict[str, Any] = {"settled_before": OVER, "hours": HOURS}
    return Evidence(date(2026, 10, 1), GRADUATED, **{**fixed, **agreeing, **changes})


def test_books_that_agree_have_no_differences() -> None:
    assert evidence().differences() == []
    assert evidence(log=None, pushed=None, metered=None, invoice=None).differences() == []


@pytest.mark.parametrize(
    ("book", "name"),
    [("log", "log"), ("pushed", "pushes"), ("metered", "Stripe's meter")],
)
def test_each_book_is_named_with_the_hour_in_which_it_differs(book: str, name: str) -> None:
    for units in (467, 469):
        (difference,) = evidence(**{book: {NINE: 1_000, TEN: units}}).differences()
        total = 1_000 + units
        assert difference == (
            f"{name} / ledger: {total} / 1468 units; 2026-10-03 10:00 {units} / 468"
        )


def test_an_hour_that_a_book_lacks_differs_and_so_does_one_that_only_it_has() -> None:
    (lacking,) = evidence(metered={NINE: 1_000}).differences()
    assert "10:00 0 / 468" in lacking
    eleven = TEN + timedelta(hours=1)
    (more,) = evidence(metered={**HOURS, eleven: 7}).differences()
    assert "11:00 7 / 0" in more


def test_two_errors_that_cancel_out_are_found() -> None:
    (difference,) = evidence(log={NINE: 999, TEN: 469}).differences()
    assert "1468 / 1468 units; 2026-10-03 09:00 999 / 1000, 2026-10-03 10:00 469 / 468" in (
        difference
    )


def test_the_first_three_hours_are_named_and_the_others_counted() -> None:
    hours = {NINE + timedelta(hours=later): 1 for later in range(5)}
    (difference,) = evidence(
        hours=hours, log={}, pushed=None, metered=None, invoice=None
    ).differences()
    assert difference.endswith("2026-10-03 11:00 0 / 1 and 2 more")


def test_what_is_on_its_way_to_stripe_may_be_less_but_never_more() -> None:
    for book in ("pushed", "metered"):
        running = {"settled_before": TEN, "invoice": None}
        assert evidence(**{book: {NINE: 1_000, TEN: 400}, **running}).differences() == []
        assert evidence(**{book: {NINE: 1_000, TEN: 469}, **running}).differences() != []
        assert evidence(**{book: {NINE: 999, TEN: 468}, **running}).differences() != []


def test_an_unsettled_hour_of_the_log_has_to_agree_all_the_same() -> None:
    assert evidence(log={NINE: 1_000, TEN: 467}, settled_before=TEN).differences() != []


def test_an_invoice_of_other_units_or_another_amount_is_named() -> None:
    assert evidence(invoice=Billed("in_1", 1_467, 23)).differences() == [
        "invoice in_1: 1467 units, ledger 1468"
    ]
    assert evidence(invoice=Billed("in_1", 1_468, 24)).differences() == [
        "invoice in_1: $0.24, by our prices $0.23"
    ]


def test_a_copy_that_shows_another_amount_is_named() -> None:
    assert evidence(shown_cents=23).differences() == []
    assert evidence(shown_cents=22).differences() == ["invoice in_1: $0.23, on our pages $0.22"]


def test_a_missing_invoice_is_a_difference() -> None:
    assert evidence(invoice=None, missing="no invoice").differences() == ["no invoice"]
