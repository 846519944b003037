from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from mnistapi.uuid7 import floor
from predictions import partitions
from predictions.models import Call
from tests.books import used
from tests.conftest import Holder

THIS_MONTH = partitions.month(timezone.now().date())
LONG_AGO = partitions.month(THIS_MONTH, -settings.CALL_RETENTION_MONTHS - 1)


def logged(owner: Holder, first: date, units: int = 1, counted: bool = True, **row: Any) -> Call:
    """A call of the first moment of a month, in the log and (if counted) in the totals."""
    at = datetime(first.year, first.month, 1, tzinfo=UTC)
    if counted:
        used(owner, units, at)
    call = Call(
        id=UUID(int=floor(at).int | (uuid4().int & ((1 << 62) - 1))),
        at=at,
        customer=owner.customer,
        key=owner.row,
        **{"release": "softmax-1", "units": units, "status": 200, "latency_ms": 1.0, **row},
    )
    call.save(force_insert=True)
    return call


def create(first: date) -> None:
    with connection.cursor() as cursor:
        partitions.create(first, 1, cursor.execute)


def partition_of(call: Call) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tableoid::regclass::text FROM predictions_call WHERE id = %s", [call.pk]
        )
        return str(cursor.fetchone()[0])


def test_a_fresh_database_has_this_month_and_the_next_twelve(db: None) -> None:
    assert partitions.existing() == [partitions.month(THIS_MONTH, later) for later in range(13)]


def test_a_call_is_kept_in_the_partition_of_its_month(owner: Holder) -> None:
    assert partition_of(logged(owner, THIS_MONTH)) == f"predictions_call_{THIS_MONTH:%Y_%m}"
    following = partitions.month(THIS_MONTH, 1)
    assert partition_of(logged(owner, following)) == f"predictions_call_{following:%Y_%m}"


@pytest.mark.parametrize(
    ("day", "later", "expected"),
    [
        (date(2026, 11, 23), 0, date(2026, 11, 1)),
        (date(2026, 11, 23), 2, date(2027, 1, 1)),
        (date(2026, 1, 31), -1, date(2025, 12, 1)),
        (date(2026, 3, 1), -15, date(2024, 12, 1)),
    ],
)
def test_months_are_counted_over_the_turn_of_years(day: date, later: int, expected: date) -> None:
    assert partitions.month(day, later) == expected


def test_the_daily_command_makes_the_coming_months_again(db: None) -> None:
    last = partitions.month(THIS_MONTH, 12)
    partitions.drop(last)
    call_command("roll_log")
    assert partitions.existing()[-1] == last
    call_command("roll_log")  # and once more changes nothing
    assert len(partitions.existing()) == 13


def test_a_month_past_the_retention_is_dropped_once_its_totals_are_safe(owner: Holder) -> None:
    create(LONG_AGO)
    logged(owner, LONG_AGO, units=2)
    call_command("roll_log")
    assert LONG_AGO not in partitions.existing()


def test_the_last_month_of_the_retention_is_kept(owner: Holder) -> None:
    last = partitions.month(LONG_AGO, 1)
    create(last)
    logged(owner, last)
    call_command("roll_log")
    assert last in partitions.existing()


@pytest.mark.parametrize("counted_before", [False, True])
@pytest.mark.parametrize("row", [{}, {"status": 422, "units": 0, "problem": "wrong_shape"}])
def test_a_month_whose_totals_lack_a_call_is_kept_and_said(
    counted_before: bool, row: dict[str, Any], owner: Holder, capsys: Any
) -> None:
    create(LONG_AGO)
    if counted_before:
        logged(owner, LONG_AGO)
    logged(owner, LONG_AGO, counted=False, **row)
    with pytest.raises(CommandError):
        call_command("roll_log")
    assert LONG_AGO in partitions.existing()
    assert f"predictions_call_{LONG_AGO:%Y_%m}" in capsys.readouterr().err


@pytest.mark.django_db(transaction=True)
def test_the_daily_command_gives_way_to_a_long_reader(owner: Holder) -> None:
    create(LONG_AGO)
    reader = psycopg2.connect(**connection.get_connection_params())
    try:
        reader.cursor().execute("SELECT count(*) FROM predictions_call")
        with pytest.raises(CommandError, match="in use"):
            call_command("roll_log")
    finally:
        reader.close()
    call_command("roll_log")
    assert LONG_AGO not in partitions.existing()


@pytest.mark.parametrize(
    "change", ["UPDATE predictions_call SET units = 0", "DELETE FROM predictions_call"]
)
def test_the_log_refuses_every_change(change: str, owner: Holder) -> None:
    logged(owner, THIS_MONTH)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)
    assert Call.objects.get().units == 1


@pytest.mark.parametrize(
    "row",
    [
        {"status": 200, "units": 0},
        {"status": 200, "units": 1, "problem": "wrong_shape"},
        {"status": 422, "units": 1, "problem": "wrong_shape"},
        {"status": 422, "units": 0, "problem": ""},
        {"status": None},
    ],
)
def test_the_log_refuses_a_row_that_charges_an_error(row: dict[str, Any], owner: Holder) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        logged(owner, THIS_MONTH, counted=False, **row)


def test_a_month_of_calls_is_found_by_its_ids_alone(owner: Holder) -> None:
    """The plan reads one partition: that is what makes old months cheap to keep."""
    begin = floor(datetime.combine(THIS_MONTH, datetime.min.time(), UTC))
    plan = Call.objects.filter(id__gte=begin, id__lt=UUID(int=begin.int + 1)).explain()
    assert plan.count("predictions_call_2") >= 1
    assert f"predictions_call_{THIS_MONTH:%Y_%m}" in plan
    assert f"predictions_call_{partitions.month(THIS_MONTH, 1):%Y_%m}" not in plan
