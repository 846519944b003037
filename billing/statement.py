"""A month of calls as a customer may take it away: what its invoice is made of."""

import re
from collections.abc import Iterator, Sequence
from datetime import date

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_safe

from accounts.views import customer_of
from billing import export, rating
from billing.decision import first_instant, next_month
from billing.models import Account
from billing.plans import Tier
from billing.proving import live_calls, tiers_of

MONTH = re.compile(r"2[0-9]{3}-(0[1-9]|1[0-2])")
COLUMNS = {
    "request id": "id",
    "at": "at",
    "key": "key__prefix",
    "key name": "key__name",
    "release": "release",
    "status": "status",
    "problem": "problem",
    "units": "units",
}


@login_required
@require_safe
def calls_of_month(request: HttpRequest, period: str) -> StreamingHttpResponse:
    """Every call with a live key, also those that were refused; 404 if it is not a month.

    The units sum up to those of the invoice, and the costs, rounded to the cent, to its total.
    """
    account = Account.objects.seen(customer_of(request))
    rows = calls_with_costs(account, month_of(period))
    return StreamingHttpResponse(
        export.lines([*COLUMNS, "cost in USD"], rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="calls-{period}.csv"'},
    )


def month_of(text: str) -> date:
    """The first day of a month such as 2026-11, of any year in which there may have been calls."""
    if not MONTH.fullmatch(text):
        raise Http404
    return date.fromisoformat(f"{text}-01")


def calls_with_costs(account: Account, period: date) -> Iterator[Sequence[object]]:
    calls = live_calls(account.customer, first_instant(period), next_month(period))
    rows = export.values(calls.order_by("id"), COLUMNS.values())
    return priced(rows, tiers_of(account))


def priced(calls: Iterator[Sequence[object]], tiers: Sequence[Tier]) -> Iterator[Sequence[object]]:
    """Each call with what its units cost behind those of the calls before."""
    counted = 0
    for call in calls:
        units = int(str(call[-1]))
        cost = rating.price(tiers, counted + units) - rating.price(tiers, counted)
        counted += units
        yield (*call, rating.text(cost))
