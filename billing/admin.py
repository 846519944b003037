"""The operator's pages of accounts, of what is used, and of what customers were told."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounts.filters import CustomerFilter, KeyFilter
from accounts.models import Customer
from billing import rating
from billing.chart import ChartForm
from billing.columns import hour, minute, month, number, stripe_link
from billing.drawing import panels
from billing.filters import (
    AccountFilter,
    DayFilter,
    PlanFilter,
    ReleaseFilter,
    SentFilter,
    StatusFilter,
)
from billing.forms import AccountForm
from billing.long_lists import LongListAdmin
from billing.meter_admin import ClosingAdmin as ClosingAdmin
from billing.meter_admin import MeterErrorAdmin as MeterErrorAdmin
from billing.meter_admin import MeterPushAdmin as MeterPushAdmin
from billing.meter_admin import ProofAdmin as ProofAdmin
from billing.meter_admin import ProofRunAdmin as ProofRunAdmin
from billing.models import Account, Notice, UsageHour
from billing.stripe_admin import InvoiceAdmin as InvoiceAdmin
from billing.stripe_admin import StripeEventAdmin as StripeEventAdmin


@admin.register(Account)
class AccountAdmin(LongListAdmin[Account]):
    """Plan, status and spend limit can be changed; the counters belong to the ledger."""

    form = AccountForm
    list_display = (
        "customer", "plan", "status", "units_this_month", "cost_this_month", "spend_limit",
        "test_units_this_month",
    )  # fmt: skip
    list_select_related = ("customer__user",)
    list_filter = (PlanFilter, StatusFilter, CustomerFilter)
    search_fields = ("customer__user__email",)
    search_help_text = "Part of an e-mail address. Units and cost are those of this month, in UTC."
    ordering = ("-pk",)
    readonly_fields = (
        "customer", "units_this_month", "cost_this_month", "test_units_this_month",
        "stripe_customer", "stripe_subscription", "subscription_ends_at", "payment_due_since",
    )  # fmt: skip
    fieldsets = (
        (None, {"fields": ("customer", "plan", "status", "spend_limit")}),
        (
            "This month, in UTC",
            {"fields": ("units_this_month", "cost_this_month", "test_units_this_month")},
        ),
        (
            "At Stripe",
            {
                "fields": (
                    "stripe_customer",
                    "stripe_subscription",
                    "subscription_ends_at",
                    "payment_due_since",
                )
            },
        ),
    )
    export_columns = {
        "customer": "customer__user__email",
        "plan": "plan",
        "status": "status",
        "spend limit in cents": "spend_limit_cents",
        "month": "period",
        "units": "live_units",
        "test units": "test_units",
    }

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return request.user.has_perm("billing.change_account")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Account | None:
        """The account of a customer who never called is shown as it will be opened."""
        account: Account | None = super().get_object(request, object_id, from_field)
        if account or not object_id.isdecimal():
            return account
        customer = Customer.objects.filter(pk=int(object_id)).first()
        return Account(customer=customer) if customer else None

    def save_model(self, request: HttpRequest, obj: Account, form: Any, change: bool) -> None:
        """Just what the operator changed: calls are counted on the row meanwhile."""
        if form.changes:
            Account.objects.of(obj.customer).change(**form.changes)

    @admin.display(description="units")
    def units_this_month(self, account: Account) -> str:
        return f"{account.this_month.live_units:,}"

    @admin.display(description="cost")
    def cost_this_month(self, account: Account) -> str:
        return rating.shown(account.this_month.cost)

    @admin.display(description="test units")
    def test_units_this_month(self, account: Account) -> str:
        return f"{account.this_month.test_units:,}"

    @admin.display(description="spend limit")
    def spend_limit(self, account: Account) -> str:
        return rating.shown(account.state.spend_limit)

    @admin.display(description="customer")
    def stripe_customer(self, account: Account) -> str:
        return stripe_link("customers", account.stripe_customer_id)

    @admin.display(description="subscription")
    def stripe_subscription(self, account: Account) -> str:
        return stripe_link("subscriptions", account.stripe_subscription_id)


@admin.register(Notice)
class NoticeAdmin(LongListAdmin[Notice]):
    list_display = (
        minute("made_at", "made"),
        "account",
        "kind",
        "reached",
        "out_of",
        month(),
        minute("sent_at", "sent", empty="not yet"),
    )
    list_select_related = ("account__customer__user",)
    list_filter = (SentFilter, AccountFilter)
    ordering = ("-id",)
    export_columns = {
        "made at": "made_at",
        "customer": "account__customer__user__email",
        "kind": "kind",
        "percent": "percent",
        "limit in units or cents": "limit",
        "month": "period",
        "sent at": "sent_at",
    }

    def reached(self, notice: Notice) -> str:
        return f"{notice.percent} %" if notice.percent else "–"

    def out_of(self, notice: Notice) -> str:
        return notice.limit_for_people


@admin.register(UsageHour)
class UsageHourAdmin(LongListAdmin[UsageHour]):
    list_display = (
        hour(),
        "customer",
        "key",
        "release",
        number("calls", "calls"),
        number("units", "units"),
        number("errors", "errors"),
    )
    list_select_related = ("customer__user", "key")
    list_filter = (CustomerFilter, KeyFilter, ReleaseFilter, DayFilter)
    ordering = ("-hour", "-id")
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
