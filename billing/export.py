"""A list as CSV, row by row as the database gives them, however many there are."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.utils import timezone

ROWS_AT_ONCE = 1000
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def response(name: str, rows: QuerySet[Any], columns: Mapping[str, str]) -> StreamingHttpResponse:
    """The rows as a file to download; `columns` maps each heading to the look-up of its values."""
    filename = f"{name}-{timezone.now():%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        lines(columns, values(rows, columns.values())),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


def values(rows: QuerySet[Any], look_ups: Iterable[str]) -> Iterator[Sequence[object]]:
    # Its own cursor in a transaction of its own: outside one the database would gather all rows
    # before the first, and a pooler would give the next rows from another connection.
    with transaction.atomic(), connection.chunked_cursor() as cursor:
        cursor.execute(*rows.values_list(*look_ups).query.sql_with_params())
        while some := cursor.fetchmany(ROWS_AT_ONCE):
            yield from some


def lines(headings: Iterable[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    """CSV text: the headings at once, then some rows at a time."""
    yield text([list(headings)])
    while some := list(islice(rows, ROWS_AT_ONCE)):
        yield text(some)


def text(rows: Iterable[Sequence[object]]) -> str:
    file = StringIO()
    csv.writer(file).writerows([cell(value) for value in row] for row in rows)
    return file.getvalue()


def cell(value: object) -> str:
    """The value as text; what a spreadsheet would run as a formula is led by an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, str) and value.startswith(FORMULA):
        return "'" + value
    return str(value)
