"""Columns that several lists of the admin have: months, hours, minutes, numbers and amounts.

Each shows a field of the row; of one that is null, a dash.
"""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from billing import rating

Column = Callable[[Any], str]
EMPTY = "–"
DASHBOARD = "https://dashboard.stripe.com"


def column(name: str, field: str, title: str, text: Callable[[Any], str], empty: str) -> Column:
    @admin.display(description=title)
    def shown(row: Any) -> str:
        value = getattr(row, field)
        return empty if value is None else text(value)

    shown.__name__ = name  # of which Django makes the CSS class of the column
    return shown


def moment(field: str, title: str, format: str, empty: str = EMPTY) -> Column:
    return column(f"{field}_text", field, title, format.format, empty)


def month(field: str = "period") -> Column:
    return moment(field, "month", "{:%Y-%m}")


def hour() -> Column:
    return moment("hour", "hour (UTC)", "{:%Y-%m-%d %H}:00")


def minute(field: str, title: str, empty: str = EMPTY) -> Column:
    return moment(field, f"{title} (UTC)", "{:%Y-%m-%d %H:%M}", empty)


def number(field: str, title: str) -> Column:
    return column(f"{field}_number", field, title, "{:,}".format, EMPTY)


def money(field: str, title: str) -> Column:
    """Of a field in cents."""

    def dollars(cents: int) -> str:
        return rating.shown(cents * rating.MICROS_PER_CENT)

    return column(f"{field}_number", field, title, dollars, EMPTY)


def account_link(account: Any) -> str:
    """The customer, with a link to the page of his account."""
    url = reverse("admin:billing_account_change", args=[account.pk])
    return format_html('<a href="{}">{}</a>', url, account)


def stripe_link(kind: str, id: str) -> str:
    """The id, with a link to its page of Stripe's Dashboard; a local Stripe has none."""
    if not id:
        return EMPTY
    if settings.STRIPE_API_BASE:
        return id
    mode = "" if settings.STRIPE_LIVEMODE else "/test"
    return format_html('<a href="{}{}/{}/{}">{}</a>', DASHBOARD, mode, kind, id, id)
