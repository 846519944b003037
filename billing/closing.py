"""The end of a month: its last hours reach Stripe while the invoice is a draft; then it is final.

A draft is finalised only when Stripe's meter has each hour as the ledger does, and when lines and
total are what `billing.rating` says. Otherwise it stays a draft, and an operator is told.
"""

import threading
from datetime import datetime, timedelta
from smtplib import SMTPException

import structlog
from django.core.mail import mail_admins
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from billing import ledger, meter, stripe_gateway
from billing.decision import month_of
from billing.invoices import time_of_books
from billing.meter_models import Closing, MeterPush
from billing.models import Account
from billing.proof import Evidence, Hours, unlike
from billing.proving import (
    billed,
    live_hours,
    metered_hours,
    pushed_hours,
    pushes_of,
    span_of,
    tiers_of,
    utc,
)
from billing.stripe_gateway import Invoice, StripeRefused, StripeUnavailable

PATIENCE = timedelta(minutes=10)  # as late as Stripe's summaries may be before anybody has to look
# Stripe's clock may be ahead of the database's, but never by as much as this.
CLOCKS_DIFFER = timedelta(hours=1)
# What keeps a draft from being compared, and may pass: how the text begins that tells of it.
REFUSED, FAILS = "Stripe refuses", "The worker fails"

log = structlog.get_logger()


def close_drafts(stopped: threading.Event) -> None:
    """Bring each draft as far as it can go now, some at a time.

    Any number of processes may do this at once. Raises StripeUnavailable.
    """
    began = time_of_books()
    drafts = stripe_gateway.list_invoices(status="draft")
    meter.in_parallel(close, [draft for draft in drafts if draft.subscription], stopped)
    still = [draft.id for draft in drafts]
    # One that was opened since may be of a draft that another process has listed.
    known = Closing.objects.filter(closed_at=None, opened_at__lt=began)
    known.exclude(invoice_id__in=still).update(closed_at=Now())
    collect()


def collect() -> None:
    """Let Stripe collect what became final just before a process held it that then died.

    Of the last day: what is final for longer, somebody may want to wait.
    """
    recent = Closing.objects.filter(closed_at__gt=timezone.now() - timedelta(days=1))
    ids = set(recent.values_list("invoice_id", flat=True))
    for invoice in stripe_gateway.list_invoices(status="open") if ids else ():
        if invoice.id in ids and not invoice.auto_advance:
            stripe_gateway.set_auto_advance(invoice.id, True)


def close(draft: Invoice) -> None:
    """Go on with a draft, if it is one of ours; whatever becomes of it holds up no other.

    Raises StripeUnavailable.
    """
    account = Account.objects.filter(stripe_customer_id=draft.customer).first()
    if not account or not may_be_ours(draft):
        return
    opened = {"customer_id": account.pk, "period": month_of(utc(draft.period_start))}
    closing, _ = Closing.objects.get_or_create(invoice_id=draft.id, defaults=opened)
    try:
        advance(account, draft, closing)
    except StripeRefused as refusal:
        tell(closing, f"{REFUSED}: {refusal}")
    except (StripeUnavailable, OperationalError, InterfaceError):
        raise
    except Exception as fault:
        log.exception("closing_failed", invoice=draft.id)
        tell(closing, f"{FAILS}: {fault!r}")


def may_be_ours(draft: Invoice) -> bool:
    """What Stripe refuses to tell of is held, so that nothing becomes final by mistake."""
    try:
        return stripe_gateway.is_our_subscription(draft.subscription)
    except StripeRefused as refusal:
        log.error("subscription_refused", invoice=draft.id, error=str(refusal))
        return True


def advance(account: Account, draft: Invoice, closing: Closing) -> None:
    """Hold the draft, settle its hours and compare; finalise it if all agrees.

    Raises StripeFault.
    """
    if draft.auto_advance:
        hold(draft.id)
    start, end = span_of(draft)
    customer = account.customer
    if timedelta(0) < end - timezone.now() < CLOCKS_DIFFER:
        return
    hours = settled_hours(account, start, end)
    pushes = pushes_of(customer, start, end)
    refused = refused_hours(pushes)
    due = {hour: units for hour, units in hours.items() if hour not in refused}
    if not push_all(account, due, pushed_hours(customer, start, end)):
        return
    if refused:
        raise StripeRefused(in_words(refused))
    evidence = Evidence(
        period=closing.period,
        tiers=tiers_of(account),
        settled_before=end,
        hours=hours,
        metered=metered_hours(draft.customer, start, end),
        # Fetched again: its total grows with what is pushed.
        invoice=billed(stripe_gateway.retrieve_invoice(draft.id)),
    )
    if differences := evidence.differences():
        differ(closing, pushes, evidence, differences)
    else:
        finalise(closing)


def hold(invoice_id: str) -> None:
    """Let Stripe not finalise a draft of ours by itself; twice or late changes nothing.

    Raises StripeFault, but not for a draft that was deleted.
    """
    try:
        invoice = stripe_gateway.retrieve_invoice(invoice_id)
    except StripeRefused as refused:
        if refused.code == "resource_missing":
            return
        raise
    if invoice.status != "draft" or not invoice.subscription or not invoice.auto_advance:
        return
    if not may_be_ours(invoice):
        return
    stripe_gateway.set_auto_advance(invoice_id, False)
    if stripe_gateway.retrieve_invoice(invoice_id).status != "draft":
        stripe_gateway.set_auto_advance(invoice_id, True)  # final meanwhile, and to be collected


@transaction.atomic  # what a charge under way adds to the month is waited for
def settled_hours(account: Account, start: datetime, end: datetime) -> Hours:
    ledger.wait_for([account.pk])
    return live_hours(account.customer, start, end)


def refused_hours(pushes: QuerySet[MeterPush]) -> dict[datetime, str]:
    """Those that Stripe refused, with its reason, and that are not due again yet."""
    refused = pushes.exclude(trouble="").filter(due_at__gt=Now()).order_by("hour")
    return dict(refused.values_list("hour", "trouble"))


def in_words(refused: dict[datetime, str]) -> str:
    """How many, and the reason of the first: mostly it is that of all."""
    hour, trouble = next(iter(refused.items()))
    return f"{len(refused)} of the hours; {hour:%Y-%m-%d %H}:00: {trouble}"


def push_all(account: Account, hours: Hours, pushed: Hours) -> bool:
    """Whether Stripe has taken the total of each of these hours."""
    due = [
        meter.DueHour(account.pk, account.stripe_customer_id, hour)
        for hour, units in sorted(hours.items())
        if pushed.get(hour) != units
    ]
    return not due or meter.push_hours(due)


def finalise(closing: Closing) -> None:
    """Final, and collected by Stripe from here on; no matter if another process was quicker."""
    try:
        stripe_gateway.finalize_invoice(closing.invoice_id)
    except StripeRefused:
        if stripe_gateway.retrieve_invoice(closing.invoice_id).status == "draft":
            raise
    log.info("invoice_finalised", invoice=closing.invoice_id, customer=closing.customer_id)
    Closing.objects.filter(pk=closing.pk).update(closed_at=Now(), difference="")


def differ(
    closing: Closing, pushes: QuerySet[MeterPush], evidence: Evidence, differences: list[str]
) -> None:
    """After some patience push once more what Stripe took and does not have; then tell somebody.

    `pushes` are those of the closed period: the ones of the new month never rest.
    """
    long_ago = timezone.now() - PATIENCE
    if closing.opened_at > long_ago or pushes.filter(pushed_at__gt=long_ago).exists():
        return
    forget_trouble(closing)
    difference = "\n".join(differences)
    if closing.difference:
        tell(closing, difference)
    Closing.objects.filter(pk=closing.pk).update(difference=difference)
    hours = unlike(evidence.metered or {}, evidence.hours)
    pushes.filter(hour__in=hours).update(units=None)


def forget_trouble(closing: Closing) -> None:
    """It has passed: the difference that there is now is told of as if it had never been."""
    if closing.difference.startswith((REFUSED, FAILS)):
        closing.difference, closing.told_at = "", None
        Closing.objects.filter(pk=closing.pk).update(difference="", told_at=None)


def tell(closing: Closing, difference: str) -> None:
    """Tell an operator why it stays a draft: once, and again later if the mail fails."""
    log.error("invoice_held", invoice=closing.invoice_id, difference=difference)
    Closing.objects.filter(pk=closing.pk).update(difference=difference)
    if closing.told_at:
        return
    text = f"{closing}: invoice {closing.invoice_id} stays a draft.\n\n{difference}\n"
    try:
        mail_admins(f"An invoice of {closing.customer} stays a draft", text)
    except (SMTPException, OSError) as error:
        log.error("operator_not_told", invoice=closing.invoice_id, error=str(error))
        return
    Closing.objects.filter(pk=closing.pk).update(told_at=Now())
