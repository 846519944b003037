"""What a customer sees of usage and limits: in the API for the mode of his key, and on pages."""

from datetime import date, timedelta
from typing import cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import APIKey
from accounts.views import customer_of
from billing import rating, schema, standing
from billing.decision import SUSPENDED, next_month
from billing.drawing import panels
from billing.forms import SpendLimitForm, in_dollars
from billing.models import Account, UsageHour
from billing.plans import PLANS
from billing.usage import Day, by_day
from mnistapi.problems import INVALID_PERIOD, Problem

MAX_DAYS = 366
DAYS_OF_PAGE = 30


@method_decorator(never_cache, name="dispatch")
class AccountView(APIView):
    @extend_schema(**schema.ACCOUNT)
    def get(self, request: Request) -> Response:
        key = cast(APIKey, request.auth)
        account = Account.objects.seen(key.customer)
        return Response(
            {
                "email": account.customer.user.email,
                "livemode": key.livemode,
                "key": {
                    "name": key.name,
                    "prefix": key.prefix,
                    "last_four": key.last_four,
                    "expires_at": key.expires_at,
                },
                **standing.in_full(account.this_month, key.livemode),
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
    row = Account.objects.seen(customer)
    context = {
        "row": row,
        "days": days,
        "panels": panels(days),
        "totals": totals(days),
        "account": row.this_month,
    }
    return render(request, "usage.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def billing_page(request: HttpRequest) -> HttpResponse:
    return set_spend_limit(request) if request.method == "POST" else limits_page(request)


def set_spend_limit(request: HttpRequest) -> HttpResponse:
    form = SpendLimitForm(request.POST)
    if not form.is_valid():
        return limits_page(request, form, status=422)
    account = Account.objects.of(customer_of(request))
    account.change(spend_limit_cents=form.cleaned_data["spend_limit"])
    limit = rating.shown(account.this_month.spend_limit)
    messages.success(request, f"Your spend limit is {limit} a month now.")
    return redirect("billing")


def limits_page(
    request: HttpRequest, form: SpendLimitForm | None = None, status: int = 200
) -> HttpResponse:
    row = Account.objects.seen(customer_of(request))
    account = row.this_month
    context = {
        "account": account,
        "plan": PLANS[account.plan],
        "row": row,
        "is_suspended": account.status == SUSPENDED,
        "no_money_moves": not settings.STRIPE_LIVEMODE,
        "card_is_new": "card" in request.GET and not row.is_subscribed,
        "invoices": row.invoice_set.all() if row.stripe_customer_id else [],
        "forecast": standing.forecast(account, timezone.now()),
        "remaining_free": standing.remaining_free(account, livemode=True),
        "test_remaining": standing.remaining_free(account, livemode=False),
        "spend_limit_remaining": standing.spend_limit_remaining(account, account.cost),
        "next_month": next_month(account.period),
        "form": form or SpendLimitForm(initial={"spend_limit": in_dollars(row.spend_limit_cents)}),
    }
    return render(request, "billing.html", context, status=status)


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
