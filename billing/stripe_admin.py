"""The operator's pages of what is kept of Stripe: invoices, and the events that were handled."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from billing.columns import EMPTY, account_link, minute, money, month, stripe_link
from billing.filters import AccountFilter, DayFilter, FieldFilter, MonthFilter
from billing.long_lists import LongListAdmin
from billing.stripe_models import Invoice, StripeEvent
from billing.webhooks import HANDLERS


class InvoiceStatusFilter(FieldFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.label) for status in Invoice.Status]


class InvoiceMonthFilter(MonthFilter):
    def between(self, begin: datetime, end: datetime) -> dict[str, Any]:
        """That end with the month, or in it."""
        return {"period_end__gt": begin, "period_end__lte": end}


@admin.register(Invoice)
class InvoiceAdmin(LongListAdmin[Invoice]):
    list_display = (
        "invoice",
        "customer",
        month("period_start"),
        "standing",
        money("total", "total"),
        money("amount_paid", "paid"),
        money("amount_remaining", "still owed"),
        "pages",
    )
    list_select_related = ("account__customer__user",)
    list_filter = (AccountFilter, InvoiceStatusFilter, InvoiceMonthFilter)
    search_fields = ("stripe_id",)
    search_help_text = "A whole number of an invoice, or its id at Stripe"
    ordering = ("-period_end", "-created_at", "stripe_id")
    page_columns = (
        "invoice",
        "customer",
        "id_at_stripe",
        "subscription",
        "payment",
        minute("period_start", "from"),
        minute("period_end", "to"),
        "standing",
        money("total", "total"),
        money("amount_due", "due"),
        money("amount_paid", "paid"),
        money("amount_remaining", "still owed"),
        money("credited", "credited"),
        money("refunded", "refunded"),
        minute("created_at", "made"),
        minute("finalized_at", "final since"),
        minute("due_since", "payment failed"),
        minute("read_at", "read from Stripe"),
        "pages",
    )
    export_columns = {
        "invoice": "stripe_id",
        "number": "number",
        "customer": "account__customer__user__email",
        "from": "period_start",
        "to": "period_end",
        "status": "status",
        "total in cents": "total",
        "paid in cents": "amount_paid",
        "still owed in cents": "amount_remaining",
        "credited in cents": "credited",
        "refunded in cents": "refunded",
        "dispute": "dispute",
        "payment failed since": "due_since",
    }

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Invoice], search_term: str
    ) -> tuple[QuerySet[Invoice], bool]:
        """By what people read on an invoice, or by its id: whole, so that an index has it."""
        text = search_term.strip()
        if not text:
            return queryset, False
        field = "stripe_id" if text.startswith("in_") else "number"
        return queryset.filter(**{field: text}), False

    def invoice(self, invoice: Invoice) -> str:
        return str(invoice)

    def customer(self, invoice: Invoice) -> str:
        return account_link(invoice.account)

    @admin.display(description="status")
    def standing(self, invoice: Invoice) -> str:
        return invoice.standing

    @admin.display(description="at Stripe")
    def id_at_stripe(self, invoice: Invoice) -> str:
        return stripe_link("invoices", invoice.pk)

    def subscription(self, invoice: Invoice) -> str:
        return stripe_link("subscriptions", invoice.stripe_subscription_id)

    def payment(self, invoice: Invoice) -> str:
        return stripe_link("payments", invoice.payment_intent_id)

    @admin.display(description="see")
    def pages(self, invoice: Invoice) -> str | SafeString:
        """The customer's pages of it, which a draft does not have yet."""
        links = [(invoice.hosted_url, "Stripe's page"), (invoice.pdf_url, "PDF")]
        shown = [link for link in links if link[0]]
        return format_html_join(" · ", '<a href="{}">{}</a>', shown) or EMPTY


class EventTypeFilter(FieldFilter):
    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(type, type) for type in sorted(HANDLERS)]


class EventDayFilter(DayFilter):
    def between(self, begin: datetime, end: datetime) -> dict[str, Any]:
        return {"created_at__gte": begin, "created_at__lt": end}


@admin.register(StripeEvent)
class StripeEventAdmin(LongListAdmin[StripeEvent]):
    """Those that had an effect, or could have had one: what is not ours is not entered."""

    list_display = (
        minute("created_at", "happened"),
        "type",
        "about",
        minute("handled_at", "handled"),
        "stripe_id",
    )
    list_filter = (EventTypeFilter, EventDayFilter)
    search_fields = ("stripe_id",)
    search_help_text = "A whole id of an event"
    ordering = ("-created_at", "-stripe_id")
    page_columns = (
        "type",
        "about",
        "event",
        minute("created_at", "happened"),
        minute("handled_at", "handled"),
    )
    export_columns = {
        "event": "stripe_id",
        "type": "type",
        "about": "object_id",
        "happened at": "created_at",
        "handled at": "handled_at",
    }

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[StripeEvent], search_term: str
    ) -> tuple[QuerySet[StripeEvent], bool]:
        text = search_term.strip()
        return (queryset.filter(pk=text) if text else queryset), False

    def about(self, event: StripeEvent) -> str:
        return event.object_id or EMPTY

    @admin.display(description="at Stripe")
    def event(self, event: StripeEvent) -> str:
        return stripe_link("events", event.pk)
