"""The pages of a customer: sign-up's last step, the dashboard, the keys.

A key is shown in the answer to the POST that made it, and nowhere else: it is in no session, no
redirect and no cache.
"""

from collections.abc import Callable
from functools import wraps
from typing import cast

from allauth.account.views import ConfirmEmailVerificationCodeView, SignupView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.forms import NewKeyForm, RotateForm, SignUpForm
from accounts.keys import Kind
from accounts.models import APIKey, Customer, User

View = Callable[..., HttpResponse]

MAX_ACTIVE_KEYS = 50
MAX_OTHER_KEYS = 100  # that are shown, of those revoked or expired


class SignUp(SignupView):  # type: ignore[misc]
    form_class = SignUpForm


class ConfirmEmail(ConfirmEmailVerificationCodeView):  # type: ignore[misc]
    """The code from the e-mail is entered: a new customer gets his test key with it."""

    def form_valid(self, form: Form) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        if not self.request.user.is_authenticated or self.request.user.is_staff:
            return response
        customer = customer_of(self.request)
        if customer.keys.exists():
            return response
        row, key = APIKey.objects.issue(customer, Kind.TEST, "First test key")
        return show_once(self.request, row, key)


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "landing.html", {"public_url": settings.PUBLIC_URL})


def customer_of(request: HttpRequest) -> Customer:
    """The customer who is signed in."""
    return Customer.objects.of(cast(User, request.user))


@login_required
@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    customer = customer_of(request)
    context = {
        "customer": customer,
        "keys": customer.keys.active(),
        "public_url": settings.PUBLIC_URL,
    }
    return render(request, "dashboard.html", context)


@login_required
@require_safe
def key_list(request: HttpRequest) -> HttpResponse:
    return key_page(request, customer_of(request))


def key_page(
    request: HttpRequest,
    customer: Customer,
    form: NewKeyForm | None = None,
    rotate_form: RotateForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "keys": keys_to_show(customer),
        "form": form or NewKeyForm(live_allowed=customer.email_is_confirmed),
        "rotate_form": rotate_form or RotateForm(),
    }
    return render(request, "keys.html", context, status=status)


def keys_to_show(customer: Customer) -> list[APIKey]:
    """All that are active and the last of the others, the newest first."""
    active = customer.keys.active()
    others = customer.keys.exclude(pk__in=active.values("pk")).order_by("-created_at", "-pk")
    shown = [*active, *others[:MAX_OTHER_KEYS]]
    return sorted(shown, key=lambda key: (key.created_at, key.pk), reverse=True)


def form_of(page: str) -> Callable[[View], View]:
    """A form's target: whoever comes without the form, as after a sign-in, gets its page."""

    def target(view: View) -> View:
        @login_required
        @wraps(view)
        def wrapped(request: HttpRequest, **arguments: int) -> HttpResponse:
            return view(request, **arguments) if request.method == "POST" else redirect(page)

        return wrapped

    return target


def locked(customer: Customer) -> Customer:
    """Runs in a transaction: of two forms sent at once, the second sees what the first did."""
    # Without its key: a charge that refers to the customer must not have to wait.
    return Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)


def refuse_too_many(customer: Customer, form: Form) -> None:
    if customer.keys.active().count() >= MAX_ACTIVE_KEYS:
        form.add_error(None, f"{MAX_ACTIVE_KEYS} keys are active. Revoke one that is not in use.")


@form_of("keys")
@transaction.atomic
def create_key(request: HttpRequest) -> HttpResponse:
    customer = locked(customer_of(request))
    form = NewKeyForm(request.POST, live_allowed=customer.email_is_confirmed)
    if form.is_valid():
        refuse_too_many(customer, form)
    if not form.is_valid():
        return key_page(request, customer, form=form, status=422)
    lifetime = form.cleaned_data["lifetime"]
    expires_at = timezone.now() + lifetime if lifetime else None
    row, key = APIKey.objects.issue(
        customer, form.cleaned_data["kind"], form.cleaned_data["name"], expires_at
    )
    return show_once(request, row, key)


@form_of("keys")
@transaction.atomic
def rotate_key(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(locked(customer_of(request)).keys.rotatable(), pk=pk)
    form = RotateForm(request.POST)
    if form.is_valid() and form.cleaned_data["overlap"]:
        refuse_too_many(row.customer, form)
    if not form.is_valid():
        return key_page(request, row.customer, rotate_form=form, status=422)
    successor, key = row.rotate(form.cleaned_data["overlap"])
    return show_once(request, successor, key)


@form_of("keys")
def revoke_key(request: HttpRequest, pk: int) -> HttpResponse:
    row = get_object_or_404(customer_of(request).keys.all(), pk=pk)
    row.revoke()
    messages.success(request, f"{row} is revoked. No call with it is answered any more.")
    return redirect("keys")


@never_cache
def show_once(request: HttpRequest, row: APIKey, key: str) -> HttpResponse:
    context = {"row": row, "key": key, "public_url": settings.PUBLIC_URL}
    return render(request, "key_created.html", context)
