"""Filters of the admin for rows that belong to a release and to a time."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest

from accounts.filters import M, TypedFilter
from billing.models import UsageHour

NO_RELEASE = "none"

# Each step asks for the next release only, which an index that begins with it answers at once.
RELEASES = """
WITH RECURSIVE known AS (
    SELECT min(release) AS release FROM billing_usagehour
    UNION ALL
    SELECT (SELECT min(release) FROM billing_usagehour WHERE release > known.release)
    FROM known WHERE known.release IS NOT NULL
)
SELECT release FROM known WHERE release <> ''
"""


def releases() -> list[str]:
    """Every release that ever answered, in the order of their names."""
    with connection.cursor() as cursor:
        cursor.execute(RELEASES)
        return [name for (name,) in cursor.fetchall()]


def span_of(fields: dict[str, Any]) -> tuple[datetime, datetime] | None:
    """The first and the last hour with these fields; None if there is no such hour."""
    ends = UsageHour.objects.filter(**fields).aggregate(first=Min("hour"), last=Max("hour"))
    return (ends["first"], ends["last"]) if ends["first"] else None


class ReleaseFilter(admin.SimpleListFilter):
    title = "release"
    parameter_name = "release"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((name, name) for name in releases()), (NO_RELEASE, "None (not answered)")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> QuerySet[M]:
        name = self.value()
        if not name:
            return queryset
        if name not in dict(self.lookup_choices):
            return queryset.none()
        return self.narrow(queryset, {"release": "" if name == NO_RELEASE else name})

    def narrow(self, queryset: QuerySet[M], fields: dict[str, Any]) -> QuerySet[M]:
        """Only between its first and its last hour: an old release is not sought in new rows."""
        span = span_of(fields)
        return queryset.filter(**fields, hour__range=span) if span else queryset.none()


class DayFilter(TypedFilter):
    title = "day"
    parameter_name = "day"
    input_type = "date"

    def fields(self, text: str) -> dict[str, Any] | None:
        """Midnight to midnight, in UTC."""
        try:
            day = date.fromisoformat(text)
            begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
            return self.between(begin, begin + timedelta(days=1))
        except (ValueError, OverflowError):
            return None

    def between(self, begin: datetime, end: datetime) -> dict[str, Any]:
        return {"hour__gte": begin, "hour__lt": end}
