"""What a customer sees of his usage: in the API for the mode of his key, and on a page."""

from datetime import date, timedelta
from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import APIKey, Customer
from accounts.views import customer_of
from billing import schema
from billing.drawing import panels
from billing.models import Account, UsageHour
from billing.usage import Day, by_day
from mnistapi.problems import INVALID_PERIOD, Problem

MAX_DAYS = 366
DAYS_OF_PAGE = 30


@method_decorator(never_cache, name="dispatch")
class AccountView(APIView):
    @extend_schema(**schema.ACCOUNT)
    def get(self, request: Request) -> Response:
        key = cast(APIKey, request.auth)
        account = this_month(key.customer)
        return Response(
            {
                "email": key.customer.user.email,
                "livemode": key.livemode,
                "key": {
                    "name": key.name,
                    "prefix": key.prefix,
                    "last_four": key.last_four,
                    "expires_at": key.expires_at,
                },
                "period": f"{account.period:%Y-%m}",
                "period_units": account.live_units if key.livemode else account.test_units,
            }
        )


@method_decorator(never_cache, name="dispatch")
class UsageView(APIView):
    @extend_schema(**schema.USAGE)
    def get(self, request: Request) -> Response:
        key = cast(APIKey, request.auth)
        first, end = period_of(request)
        hours = UsageHour.objects.filter(customer=key.customer, key__kind=key.kind)
        days = by_day(hours, first, end)
        return Response(
            {
                "livemode": key.livemode,
                "from": first,
                "to": end,
                **totals(days),
                "days": [
                    {"date": day.date, "calls": day.calls, "units": day.units, "errors": day.errors}
                    for day in days
                ],
            }
        )


@login_required
@require_safe
def usage_page(request: HttpRequest) -> HttpResponse:
    customer = customer_of(request)
    end = timezone.now().date() + timedelta(days=1)
    days = by_day(customer.usagehour_set.all(), end - timedelta(days=DAYS_OF_PAGE), end)
    context = {
        "days": days,
        "panels": panels(days),
        "totals": totals(days),
        "account": this_month(customer),
    }
    return render(request, "usage.html", context)


def this_month(customer: Customer) -> Account:
    """The account in the running month, in UTC; before the first call of a month it is at zero."""
    period = timezone.now().date().replace(day=1)
    account = Account.objects.filter(customer=customer, period__gte=period).first()
    return account or Account(customer=customer, period=period)


def totals(days: list[Day]) -> dict[str, int]:
    return {
        "calls": sum(day.calls for day in days),
        "units": sum(day.units for day in days),
        "errors": sum(day.errors for day in days),
    }


def period_of(request: Request) -> tuple[date, date]:
    """From `from` on and before `to`; without them, the running month up to today."""
    today = timezone.now().date()
    first = day_of(request, "from", today.replace(day=1))
    end = day_of(request, "to", today + timedelta(days=1))
    if not 0 < (end - first).days <= MAX_DAYS:
        raise Problem(INVALID_PERIOD, f"`to` must be 1 to {MAX_DAYS} days after `from`.")
    return first, end


def day_of(request: Request, name: str, default: date) -> date:
    text = request.query_params.get(name)
    try:
        return date.fromisoformat(text) if text else default
    except ValueError:
        raise Problem(INVALID_PERIOD, f"`{name}` must be a day, such as 2026-11-01.") from None
