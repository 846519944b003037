"""Filters of the admin for accounts, and for rows that belong to a release and to a time."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db import connection
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest

from accounts.filters import CustomerFilter, M, TypedFilter
from billing.decision import first_instant, next_month
from billing.models import Account, UsageHour
from billing.plans import PLANS

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


class MonthFilter(DayFilter):
    title = "month"
    parameter_name = "month"
    input_type = "month"

    def fields(self, text: str) -> dict[str, Any] | None:
        """From its first instant to that of the next month, in UTC."""
        try:
            month = date.fromisoformat(f"{text}-01")
            return self.between(first_instant(month), next_month(month))
        except (ValueError, OverflowError):
            return None


class FieldFilter(admin.SimpleListFilter):
    """A filter by the field that it is named for. What is not offered finds nothing."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> QuerySet[M]:
        value = self.value()
        if not value:
            return queryset
        if value not in dict(self.lookup_choices):
            return queryset.none()
        return queryset.filter(**{str(self.parameter_name): value})


class PlanFilter(FieldFilter):
    title = "plan"
    parameter_name = "plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(plan.name, plan.title) for plan in PLANS.values()]


class StatusFilter(FieldFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.label) for status in Account.Status]


class AccountFilter(CustomerFilter):
    def fields(self, text: str) -> dict[str, Any] | None:
        """An account has the number of its customer."""
        found = super().fields(text)
        return {"account_id": found["customer_id"]} if found else None


class SentFilter(admin.SimpleListFilter):
    title = "sent"
    parameter_name = "sent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "Not yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> QuerySet[M]:
        answers = {"yes": False, "no": True}
        if self.value() not in answers:
            return queryset
        return queryset.filter(sent_at__isnull=answers[str(self.value())])
