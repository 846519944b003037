"""The operator's pages of what is proved, and of what is on its way to Stripe."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.filters import CustomerFilter
from billing.columns import hour, minute, money, month, number, stripe_link
from billing.long_lists import LongListAdmin
from billing.meter_models import Closing, MeterError, MeterPush, Proof
from billing.worker_models import ProofRun


class DifferenceFilter(admin.SimpleListFilter):
    title = "difference"
    parameter_name = "differs"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Differs"), ("no", "Agrees")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.exclude(**{self.field(queryset): ""})
        return queryset.filter(**{self.field(queryset): ""}) if self.value() else queryset

    def field(self, queryset: QuerySet[Any]) -> str:
        return "differences" if queryset.model is Proof else "difference"


class TroubleFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("refused", "Refused by Stripe"), ("unsure", "To be pushed again")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "refused":
            return queryset.exclude(trouble="")
        return queryset.filter(units=None) if self.value() == "unsure" else queryset


@admin.register(Proof)
class ProofAdmin(LongListAdmin[Proof]):
    """What `manage.py prove` found last: units as each of the books has them, and the money."""

    list_display = (
        "customer",
        month(),
        "differences",
        number("log_units", "in the log"),
        number("hour_units", "in the ledger"),
        number("pushed_units", "pushed"),
        number("metered_units", "at the meter"),
        number("invoiced_units", "on the invoice"),
        money("rated_cents", "by our prices"),
        money("invoiced_cents", "invoice total"),
        minute("proved_at", "proved"),
    )
    list_select_related = ("customer__user",)
    list_filter = (DifferenceFilter, CustomerFilter)
    ordering = ("-id",)
    export_columns = {
        "customer": "customer__user__email",
        "month": "period",
        "units in the log": "log_units",
        "units in the ledger": "hour_units",
        "units pushed": "pushed_units",
        "units at Stripe's meter": "metered_units",
        "units on the invoice": "invoiced_units",
        "cents by our prices": "rated_cents",
        "cents on the invoice": "invoiced_cents",
        "differences": "differences",
        "proved at": "proved_at",
    }


@admin.register(ProofRun)
class ProofRunAdmin(LongListAdmin[ProofRun]):
    """The nightly proofs, and those of everything by hand."""

    list_display = (
        "__str__",
        minute("began_at", "began"),
        minute("ended_at", "ended"),
        number("customers", "customers"),
        number("months", "months"),
        number("differing", "differing"),
        number("unanswered", "unanswered"),
        minute("told_at", "operator told"),
    )
    ordering = ("-id",)
    export_columns = {
        "night": "night",
        "began at": "began_at",
        "ended at": "ended_at",
        "customers": "customers",
        "months": "months",
        "differing": "differing",
        "unanswered": "unanswered",
    }


@admin.register(Closing)
class ClosingAdmin(LongListAdmin[Closing]):
    list_display = (
        "customer",
        month(),
        "invoice",
        "difference",
        minute("opened_at", "draft since"),
        minute("closed_at", "closed"),
    )
    list_select_related = ("customer__user",)
    list_filter = (DifferenceFilter, CustomerFilter)
    ordering = ("-id",)
    export_columns = {
        "customer": "customer__user__email",
        "month": "period",
        "invoice": "invoice_id",
        "difference": "difference",
        "opened at": "opened_at",
        "closed at": "closed_at",
    }

    def invoice(self, closing: Closing) -> str:
        return stripe_link("invoices", closing.invoice_id)


@admin.register(MeterPush)
class MeterPushAdmin(LongListAdmin[MeterPush]):
    list_display = (
        hour(),
        "customer",
        number("units", "units"),
        number("pushes", "pushes"),
        minute("pushed_at", "pushed"),
        "trouble",
    )
    list_select_related = ("customer__user",)
    list_filter = (TroubleFilter, CustomerFilter)
    ordering = ("-id",)
    export_columns = {
        "hour": "hour",
        "customer": "customer__user__email",
        "units": "units",
        "pushes": "pushes",
        "pushed at": "pushed_at",
        "trouble": "trouble",
    }


@admin.register(MeterError)
class MeterErrorAdmin(LongListAdmin[MeterError]):
    list_display = (
        "type",
        number("errors", "events not counted"),
        "summary",
        minute("since", "sent from"),
        minute("until", "to"),
        number("hours", "hours pushed again"),
    )
    ordering = ("-id",)
    export_columns = {
        "event": "event_id",
        "type": "type",
        "events not counted": "errors",
        "summary": "summary",
        "sent from": "since",
        "sent to": "until",
        "hours pushed again": "hours",
    }
