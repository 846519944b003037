"""The operator's page of the log: read, searched and exported, never written."""

from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.filters import CustomerFilter
from billing.long_lists import LongListAdmin
from predictions.filters import DayFilter, KeyFilter, ReleaseFilter, StatusFilter
from predictions.models import Call


@admin.register(Call)
class CallAdmin(LongListAdmin[Call]):
    list_display = (
        "time", "id", "customer", "key", "release", "units", "status", "problem", "latency",
    )  # fmt: skip
    list_display_links = ("id",)
    list_select_related = ("customer__user", "key")
    list_filter = (CustomerFilter, KeyFilter, ReleaseFilter, StatusFilter, DayFilter)
    search_fields = ("id",)
    search_help_text = "A whole request id"
    ordering = ("-id",)
    export_columns = {
        "at": "at",
        "request id": "id",
        "customer": "customer__user__email",
        "key": "key__prefix",
        "key name": "key__name",
        "release": "release",
        "units": "units",
        "status": "status",
        "problem": "problem",
        "latency ms": "latency_ms",
    }

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Call], search_term: str
    ) -> tuple[QuerySet[Call], bool]:
        """The call with this request id; part of one finds nothing, which is quick to tell."""
        text = search_term.strip()
        if not text:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(text)), False
        except ValueError:
            messages.warning(request, f"“{text}” is not a request id; these are searched whole.")
            return queryset.none(), False

    @admin.display(description="at (UTC)")
    def time(self, call: Call) -> str:
        return f"{call.at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="latency")
    def latency(self, call: Call) -> str:
        return f"{call.latency_ms:.1f} ms"
