"""The e-mails that tell a customer how much of a limit is used up, or that a payment failed.

A charge makes the row (`billing.ledger.announcing`), or news of an invoice (`billing.invoices`);
here it is sent, outside of any call.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from billing.decision import next_month
from billing.models import Notice
from billing.plans import PLANS

log = structlog.get_logger()

SHORTEST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)


def send_due() -> Iterator[Notice]:
    """Try to send each notice that is due, one at a time; gives each that was tried or dropped.

    Any number of processes may do this at once. What cannot be sent is due again later. One whose
    process dies between sending and noting so is sent twice, rather than never.
    """
    now = timezone.now()
    while notice := send_next(now):
        yield notice


@transaction.atomic  # the lock of the row keeps other processes from it while it is sent
def send_next(now: datetime) -> Notice | None:
    """Try to send a notice that was due at that time, if there is one that nobody else has.

    One whose reason is gone is dropped.
    """
    due = Notice.objects.due(now).select_related("account__customer__user").order_by("id")
    notice = due.select_for_update(skip_locked=True, of=("self",)).first()
    if notice is None:
        return None
    if is_settled(notice):
        log.info("notice_dropped", notice=notice.pk)
        notice.delete()
        return notice
    try:
        send(notice)
    except Exception as error:  # whatever a mail server does, the others are sent
        log.error("notice_not_sent", notice=notice.pk, error=str(error).partition("\n")[0])
        notice.due_at = now + wait_of(now - notice.made_at)
    else:
        log.info("notice_sent", notice=notice.pk)
        notice.sent_at = timezone.now()
    notice.save(update_fields=["due_at", "sent_at"])
    return notice


def is_settled(notice: Notice) -> bool:
    """Whether it asks for a payment, and nothing is due any more: mail may be slower than money."""
    asks = notice.kind in (Notice.Kind.PAYMENT, Notice.Kind.CLOSED)
    return asks and notice.account.payment_due_since is None


def wait_of(age: timedelta) -> timedelta:
    """Until the next attempt: as long again as it has waited."""
    return min(max(age, SHORTEST_WAIT), LONGEST_WAIT)


def send(notice: Notice) -> None:
    send_mail(subject(notice), message(notice), None, [notice.account.customer.user.email])


def subject(notice: Notice) -> str:
    if notice.kind == Notice.Kind.PAYMENT:
        return "The payment of your invoice failed"
    if notice.kind == Notice.Kind.CLOSED:
        return "Your calls are refused until your invoice is paid"
    kind = notice.get_kind_display().lower()
    if notice.percent == 100:
        return f"Your {kind} is used up"
    return f"{notice.percent} % of your {kind} is used up"


def message(notice: Notice) -> str:
    return render_to_string(f"billing/email/{notice.kind}.txt", context(notice))


def context(notice: Notice) -> dict[str, Any]:
    return {
        "notice": notice,
        "is_used_up": notice.percent == 100,
        "limit": notice.limit_for_people,
        "plan": PLANS[notice.account.plan],
        "grace_ends_at": notice.account.grace_ends_at,
        "month": f"{notice.period:%B %Y}",
        "next_month": f"{next_month(notice.period):%B}",
        "billing_url": settings.PUBLIC_URL + reverse("billing"),
        "usage_url": settings.PUBLIC_URL + reverse("usage"),
        "public_url": settings.PUBLIC_URL,
    }
