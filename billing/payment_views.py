"""The buttons that lead to Stripe's pages. What is done there, webhooks tell."""

from collections.abc import Callable

import structlog
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.models import Customer
from accounts.views import customer_of, form_of
from billing import subscribing
from billing.models import Account
from billing.stripe_gateway import StripeRefused, StripeUnavailable

log = structlog.get_logger()


@form_of("billing")
def add_card(request: HttpRequest) -> HttpResponse:
    """To the page on which a card is entered; who is subscribed changes it in the portal."""
    customer = customer_of(request)
    if Account.objects.seen(customer).is_subscribed:
        return to_stripe(request, customer, subscribing.portal_url)
    return to_stripe(request, customer, subscribing.checkout_url)


@form_of("billing")
def portal(request: HttpRequest) -> HttpResponse:
    return to_stripe(request, customer_of(request), subscribing.portal_url)


def to_stripe(
    request: HttpRequest, customer: Customer, url_of: Callable[[Customer], str]
) -> HttpResponse:
    try:
        return redirect(url_of(customer))
    except StripeUnavailable as fault:
        log.error("stripe_page_not_made", customer=customer.pk, error=str(fault))
        messages.error(request, "Stripe cannot be reached at the moment. Try again in a minute.")
    except StripeRefused as fault:  # for a customer who was deleted there, or a missing setup
        log.error("stripe_page_refused", customer=customer.pk, error=str(fault))
        messages.error(request, "Something is wrong with your account at Stripe. Write to support.")
    return redirect("billing")
