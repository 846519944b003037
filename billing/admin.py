"""The operator's pages of what is used."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.filters import CustomerFilter, KeyFilter
from billing.chart import ChartForm
from billing.drawing import panels
from billing.filters import DayFilter, ReleaseFilter
from billing.long_lists import LongListAdmin
from billing.models import UsageHour


@admin.register(UsageHour)
class UsageHourAdmin(LongListAdmin[UsageHour]):
    list_display = ("begins", "customer", "key", "release", "calls", "units", "errors")
    list_select_related = ("customer__user", "key")
    list_filter = (CustomerFilter, KeyFilter, ReleaseFilter, DayFilter)
    ordering = ("-hour", "-id")
    fields = list_display
    export_columns = {
        "hour": "hour",
        "customer": "customer__user__email",
        "key": "key__prefix",
        "key name": "key__name",
        "release": "release",
        "calls": "calls",
        "units": "units",
        "errors": "errors",
    }

    @admin.display(description="hour (UTC)")
    def begins(self, usage: UsageHour) -> str:
        return f"{usage.hour:%Y-%m-%d %H}:00"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.chart)
        return [path("chart/", view, name=self.view_name("chart")), *super().get_urls()]

    def chart(self, request: HttpRequest) -> HttpResponse:
        """Calls a day and the share of errors: of all customers, or of what the form names."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        form = ChartForm(request.GET)
        days = form.days() if form.is_valid() else []
        context = {
            **self.admin_site.each_context(request),
            "title": "Calls and errors by day",
            "opts": self.opts,
            "form": form,
            "days": days,
            "panels": panels(days),
            "calls": sum(day.calls for day in days),
            "errors": sum(day.errors for day in days),
        }
        return TemplateResponse(request, "admin/billing/chart.html", context)
