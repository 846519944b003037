"""Filters of the log for the admin, as ranges of its ids, so that other months are not read."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts import filters as accounts
from billing import filters as billing
from mnistapi.problems import PROBLEM_TYPES
from mnistapi.uuid7 import floor
from predictions.models import Call

HOUR = timedelta(hours=1)
ERRORS = "errors"
STATUSES = sorted({200, *(type.status for type in PROBLEM_TYPES)})


def made_between(begin: datetime, end: datetime) -> dict[str, Any]:
    return {"id__gte": floor(begin), "id__lt": floor(end)}


def in_its_time(calls: QuerySet[Call], fields: dict[str, Any]) -> QuerySet[Call]:
    """The calls with these fields, sought only between the first and the last of their hours."""
    span = billing.span_of(fields)
    if not span:
        return calls.none()
    # A call of a month's last instant may be counted in the next month, behind its id.
    return calls.filter(**fields, **made_between(span[0] - HOUR, span[1] + HOUR))


class KeyFilter(accounts.KeyFilter):
    def narrow(self, queryset: QuerySet[Any], fields: dict[str, Any]) -> QuerySet[Any]:
        return in_its_time(queryset, fields)


class ReleaseFilter(billing.ReleaseFilter):
    def narrow(self, queryset: QuerySet[Any], fields: dict[str, Any]) -> QuerySet[Any]:
        return in_its_time(queryset, fields)


class DayFilter(billing.DayFilter):
    def between(self, begin: datetime, end: datetime) -> dict[str, Any]:
        return made_between(begin, end)


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(ERRORS, "All errors"), *((str(status), str(status)) for status in STATUSES)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Call]) -> QuerySet[Call]:
        status = self.value()
        if not status:
            return queryset
        if status == ERRORS:
            return queryset.exclude(status=200)
        return queryset.filter(status__in=[known for known in STATUSES if str(known) == status])
