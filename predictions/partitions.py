"""The months of the log: each is a table of its own, which goes at once when it is old."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from django.db import connection

from mnistapi.uuid7 import floor

NAME = "predictions_call_{:%Y_%m}"

# What is not in the totals: calls and units of the partition that their hours do not cover.
UNCOUNTED = """
SELECT count(*) FROM (
    SELECT customer_id, key_id, release, date_trunc('hour', at, 'UTC') AS hour,
           count(*) AS calls, sum(units) AS units, count(*) FILTER (WHERE units = 0) AS errors
    FROM {} GROUP BY 1, 2, 3, 4
) AS log LEFT JOIN billing_usagehour AS h USING (customer_id, key_id, release, hour)
WHERE h.calls IS NULL OR h.calls < log.calls OR h.units < log.units OR h.errors < log.errors
"""


class UncountedCalls(Exception):
    """The log of a month holds calls that the totals lack, so it must not go."""


def month(day: date, later: int = 0) -> date:
    """The first day of the month of `day`, or of one that many months later."""
    years, index = divmod(day.month - 1 + later, 12)
    return date(day.year + years, index + 1, 1)


def create(first: date, months: int, execute: Callable[[str], object]) -> None:
    """Make the partitions of that many months from `first` on that do not exist yet."""
    for later in range(months):
        begin, end = month(first, later), month(first, later + 1)
        execute(
            f"CREATE TABLE IF NOT EXISTS {NAME.format(begin)} PARTITION OF predictions_call "
            f"FOR VALUES FROM ('{bound(begin)}') TO ('{bound(end)}')"
        )


def bound(first: date) -> str:
    return str(floor(datetime(first.year, first.month, 1, tzinfo=UTC)))


def existing() -> list[date]:
    """The months that have a partition, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relid::regclass::text FROM pg_partition_tree('predictions_call') WHERE isleaf"
        )
        names = sorted(name for (name,) in cursor.fetchall())
    return [datetime.strptime(name, "predictions_call_%Y_%m").date() for name in names]


def drop(first: date) -> None:
    """Drop the partition of a month, in the transaction of the caller.

    Raises UncountedCalls if the totals do not hold its calls.
    """
    name = NAME.format(first)
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {name} IN SHARE MODE")  # nothing is added while it is checked
        cursor.execute(UNCOUNTED.format(name))
        (uncounted,) = cursor.fetchone()
        if uncounted:
            raise UncountedCalls(f"{name}: {uncounted} of its hours are not in the totals")
        cursor.execute(f"DROP TABLE {name}")
