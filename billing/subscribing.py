"""How a customer becomes one who pays, and ceases to be.

He enters a card on a page of Stripe's. That it is there, a webhook tells; then the card is made the
default one and the subscription is made. The plan follows the subscription.
"""

import hashlib
import threading
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from accounts.models import Customer
from billing import stripe_gateway
from billing.decision import first_instant, month_of, next_month
from billing.invoices import Effect, moment, nothing, time_of_books
from billing.models import Account
from billing.plans import FREE, PAYG, PLANS, PRICE_LOOKUP_KEY
from billing.stripe_gateway import StripeRefused, Subscription

LATE_END = timedelta(days=1)  # as late as Stripe may end a subscription


def checkout_url(customer: Customer) -> str:
    """Where the customer enters a card; he comes back to his billing page."""
    back = settings.PUBLIC_URL + reverse("billing")
    id = stripe_customer_of(customer)
    return stripe_gateway.setup_checkout_url(id, f"{back}?card=added", back)


def portal_url(customer: Customer) -> str:
    """Where he changes his card, his address and his tax id, or cancels."""
    back = settings.PUBLIC_URL + reverse("billing")
    return stripe_gateway.portal_url(stripe_customer_of(customer), back)


def stripe_customer_of(customer: Customer) -> str:
    """The id of the customer at Stripe; made there when it is first asked for."""
    account = Account.objects.of(customer)
    if not account.stripe_customer_id:
        made = stripe_gateway.create_customer(
            customer.pk, customer.user.email, idempotency_key(customer)
        )
        # Another click may have been quicker; both had the same customer made.
        Account.objects.filter(pk=account.pk, stripe_customer_id="").update(stripe_customer_id=made)
        account.refresh_from_db(fields=["stripe_customer_id"])
    return account.stripe_customer_id


def idempotency_key(customer: Customer) -> str:
    """The same for the same customer of the same installation: a Stripe may serve several."""
    about = f"{settings.PUBLIC_URL} {settings.SECRET_KEY} {customer.pk} {customer.user.email}"
    return f"customer-{hashlib.sha256(about.encode()).hexdigest()}"


def card_was_added(session_id: str, at: int) -> Effect:
    """The session was completed at that time: subscribe its customer, and read where he stands.

    Told twice or late, it makes no second subscription, and none for a session whose subscription
    has ended since.
    """
    session = stripe_gateway.retrieve_checkout_session(session_id)
    if not session.is_complete or not is_ours(session.customer):
        return nothing
    known = stripe_gateway.subscriptions_of(session.customer)
    if not any(one.is_live or one.checkout == session.id for one in known):
        stripe_gateway.make_card_default(session.customer, session.card)
        subscribe(session.customer, session.id, known, at)
    return read(session.customer)


def subscribe(customer: str, checkout: str, known: list[Subscription], at: int) -> None:
    """From the first of the month on, or from where an earlier subscription ended in it."""
    price = stripe_gateway.find_price(PRICE_LOOKUP_KEY)
    if price is None:
        raise StripeRefused("There is no price: run `manage.py stripe_setup`.")
    # The clock of a Stripe for tests may be ahead of ours.
    now = max(timezone.now(), datetime.fromtimestamp(at, UTC))
    month = month_of(now)
    first = int(first_instant(month).timestamp())
    start = max([first, *(one.ended_at for one in known if one.ended_at)])
    anchor = int(next_month(month).timestamp())
    # Of two sessions that are completed at once, one subscribes.
    key = f"subscription-{customer}-{len(known)}"
    stripe_gateway.create_subscription(customer, price.id, checkout, start, anchor, key)


def is_ours(stripe_customer_id: str) -> bool:
    """Whether it is a customer of this installation: others may share its Stripe account."""
    if not stripe_customer_id:
        return False
    return Account.objects.filter(stripe_customer_id=stripe_customer_id).exists()


def read(stripe_customer_id: str) -> Effect:
    """Read the customer's subscriptions at Stripe; the effect, for a transaction, enters them."""
    read_at = time_of_books()
    subscriptions = stripe_gateway.subscriptions_of(stripe_customer_id)
    live = [one for one in subscriptions if one.is_live]
    current = next(iter(live or subscriptions), None)
    if current is None:
        return nothing
    return lambda: enter(current, read_at)


def follow_ends(stopped: threading.Event) -> None:
    """Read each subscription that should have ended, as no event may tell of it.

    Nobody pays for what is used behind the end. Raises StripeUnavailable, and once all are asked
    StripeRefused if Stripe refuses to tell of one.
    """
    ended = Account.objects.filter(
        plan__in=[plan.name for plan in PLANS.values() if plan.is_billed],
        subscription_ends_at__lte=Now(),
        # Whoever was read later is on this plan by agreement.
        subscription_read_at__lt=F("subscription_ends_at") + LATE_END,
    )
    refusals = []
    for id in ended.values_list("stripe_customer_id", flat=True):
        if stopped.is_set():
            return
        try:
            effect = read(id)
        except StripeRefused as refused:
            refusals.append(refused)
            continue
        with transaction.atomic():
            effect()
    if refusals:
        raise refusals[0]


def enter(subscription: Subscription, read_at: datetime) -> None:
    """The account's plan follows, unless what is there was read later; inside a transaction."""
    accounts = Account.objects.select_for_update()
    account = accounts.filter(stripe_customer_id=subscription.customer).first()
    if account is None or account.subscription_read_at >= read_at:
        return
    account.change(
        plan=plan_with(subscription, account.plan),
        stripe_subscription_id=subscription.id,
        subscription_ends_at=moment(subscription.ends_at),
        subscription_read_at=read_at,
    )


def plan_with(subscription: Subscription, plan: str) -> str:
    """With a subscription one that is billed: the operator's choice, or the public one."""
    if not subscription.is_live:
        return FREE.name
    return plan if PLANS[plan].is_billed else PAYG.name
