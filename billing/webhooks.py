"""What Stripe tells: at our address, and to a poll of what it could not deliver there.

An event is news, and not to be relied on: it may come twice, late, out of turn, or be about
somebody else's object. So each handler reads the object afresh, before the transaction, and gives
the effect that enters what it read, together with the event's id, which is unique.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import closing, invoices, meter_errors, stripe_gateway, subscribing
from billing.invoices import Effect, nothing
from billing.metrics import webhooks_total
from billing.models import Account, Invoice, StripeEvent, WorkerPass
from billing.stripe_gateway import (
    API_VERSION,
    METER_ERRORS,
    Event,
    NotFromStripe,
    StripeRefused,
    StripeUnavailable,
)
from mnistapi.problems import BAD_REQUEST, UNAVAILABLE, Problem
from mnistapi.request_ids import IdentifiedRequest as Request

log = structlog.get_logger()


@csrf_exempt  # a webhook is signed
@require_POST
def stripe_webhook(request: Request) -> HttpResponse:
    """2xx once the event is entered, or if it need not be; all else makes Stripe try again."""
    try:
        event = verified(request)
        receive(event)
    except NotFromStripe as reason:
        webhooks_total.labels("refused").inc()
        log.warning("webhook_refused", reason=str(reason))
        return Problem(BAD_REQUEST, str(reason)).response(request.id)
    except StripeUnavailable as fault:
        webhooks_total.labels("postponed").inc()
        log.error("webhook_postponed", event_id=event.id, error=str(fault))
        return Problem(UNAVAILABLE, "Stripe cannot be asked now.").response(request.id)
    except Exception:
        webhooks_total.labels("failed").inc()
        raise
    webhooks_total.labels("accepted").inc()
    return HttpResponse(status=204)


def verified(request: Request) -> Event:
    """The event of a request, if it is one that Stripe sends to this installation."""
    signature = request.headers.get("Stripe-Signature", "")
    event = stripe_gateway.verified_event(request.body, signature, settings.STRIPE_WEBHOOK_SECRETS)
    if event.livemode != settings.STRIPE_LIVEMODE:
        raise NotFromStripe("Its livemode is not that of STRIPE_SECRET_KEY.")
    if event.api_version != API_VERSION:
        raise NotFromStripe(f"It is of another version of the API than {API_VERSION}.")
    return event


def receive(event: Event) -> None:
    """Have the event handled, once however often it comes; of an unknown type it is ignored."""
    handler = HANDLERS.get(event.type)
    if handler is None:
        return
    effect = handler(event)
    with transaction.atomic():  # it is in the inbox exactly if it had its effect
        if is_new(event):
            effect()


def is_new(event: Event) -> bool:
    """Enter it in the inbox; whoever enters the same one meanwhile waits, and finds it there."""
    _, made = StripeEvent.objects.get_or_create(
        pk=event.id,
        defaults={
            "type": event.type,
            "object_id": event.object_id,
            "created_at": datetime.fromtimestamp(event.created, UTC),
        },
    )
    return made


def receive_undelivered() -> Iterator[Event]:
    """Handle what Stripe could not deliver, oldest first; gives each event before it is handled.

    Nobody's events are asked for before the first customer is known at Stripe.
    """
    if not Account.objects.exclude(stripe_customer_id="").exists():
        return
    events = stripe_gateway.undelivered_events(SNAPSHOT_TYPES)
    ids = [event.id for event in events]
    known = set(StripeEvent.objects.filter(pk__in=ids).values_list("pk", flat=True))
    try:
        for event in reversed(events):
            if event.id not in known:
                yield event
                receive_or_leave(event)
    finally:
        handled = StripeEvent.objects.filter(pk__in=ids).count()
        WorkerPass.note(unhandled_events=len(ids) - handled)


def receive_or_leave(event: Event) -> None:
    """One that Stripe refuses to be asked about, or that we cannot cope with, must not keep the
    others; it is tried again.
    """
    try:
        receive(event)
    except StripeRefused as refused:
        log.error("event_refused", event_id=event.id, type=event.type, error=str(refused))
    except (StripeUnavailable, OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("event_failed", event_id=event.id, type=event.type)


# What each may be called with: any event of its type that Stripe has signed or listed, now or 30
# days ago, for the first time or again, about a customer of ours or of nobody.


def checkout_completed(event: Event) -> Effect:
    if not subscribing.is_ours(event.customer):
        return nothing
    return subscribing.card_was_added(event.object_id, event.created)


def subscription_changed(event: Event) -> Effect:
    return subscribing.read(event.customer) if subscribing.is_ours(event.customer) else nothing


def invoice_created(event: Event) -> Effect:
    """It stays a draft until its month is settled: `billing.closing`."""
    if subscribing.is_ours(event.customer):
        closing.hold(event.object_id)
    return invoice_changed(event)


def invoice_changed(event: Event) -> Effect:
    return invoices.read(event.object_id) if subscribing.is_ours(event.customer) else nothing


def credit_note_changed(event: Event) -> Effect:
    return invoices.read(event.invoice) if subscribing.is_ours(event.customer) else nothing


def payment_changed(event: Event) -> Effect:
    """Of a charge, a refund or a dispute. If its invoice is not known yet, that will be read
    later, with what became of the payment until then.
    """
    if not event.payment_intent:
        return nothing
    paid = Invoice.objects.filter(payment_intent_id=event.payment_intent).first()
    return invoices.read(paid.pk) if paid else nothing


Handler = Callable[[Event], Effect]

HANDLERS: dict[str, Handler] = {
    "checkout.session.completed": checkout_completed,
    "customer.subscription.created": subscription_changed,
    "customer.subscription.updated": subscription_changed,
    "customer.subscription.deleted": subscription_changed,
    "invoice.created": invoice_created,
    "invoice.updated": invoice_changed,
    "invoice.deleted": invoice_changed,
    "invoice.finalized": invoice_changed,
    "invoice.paid": invoice_changed,
    "invoice.payment_failed": invoice_changed,
    "invoice.payment_action_required": invoice_changed,
    "invoice.voided": invoice_changed,
    "invoice.marked_uncollectible": invoice_changed,
    "credit_note.created": credit_note_changed,
    "credit_note.updated": credit_note_changed,
    "credit_note.voided": credit_note_changed,
    "charge.refunded": payment_changed,
    "refund.updated": payment_changed,
    "refund.failed": payment_changed,
    "charge.dispute.created": payment_changed,
    "charge.dispute.updated": payment_changed,
    "charge.dispute.closed": payment_changed,
}
# What the webhook endpoint asks for.
SNAPSHOT_TYPES = tuple(HANDLERS)
# Thin events, which a destination of their own asks for.
HANDLERS |= dict.fromkeys(METER_ERRORS, meter_errors.note_error)
