"""Invoices as Stripe has them, and what follows for an account whose payment failed.

Each is read whole and written whole. What is decided from it depends on what the invoices are, not
on the order in which news of them came.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from billing import decision, stripe_gateway
from billing.models import Account, Invoice, Notice
from billing.stripe_gateway import StripeRefused

Effect = Callable[[], None]


def nothing() -> None:
    """The effect of what does not concern us."""


def time_of_books() -> datetime:
    """By the one clock of all processes and machines."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    return now  # type: ignore[no-any-return]


def moment(timestamp: int | None) -> datetime | None:
    return None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)


def read(invoice_id: str) -> Effect:
    """Read the invoice at Stripe; the effect, for a transaction, enters it.

    One that was deleted, as only a draft can be, is forgotten.
    """
    read_at = time_of_books()
    try:
        invoice = stripe_gateway.retrieve_invoice(invoice_id)
    except StripeRefused as refused:
        if refused.code != "resource_missing":
            raise
        return lambda: forget_draft(invoice_id)
    return lambda: enter(invoice, read_at)


def forget_draft(invoice_id: str) -> None:
    Invoice.objects.filter(pk=invoice_id, status=Invoice.Status.DRAFT).delete()


def enter(invoice: stripe_gateway.Invoice, read_at: datetime) -> None:
    """Put down what was read, unless what is there was read later; inside a transaction."""
    accounts = Account.objects.select_for_update()  # which keeps its invoices as well
    account = accounts.filter(stripe_customer_id=invoice.customer).first()
    if account is None or not invoice.customer:
        return
    row = Invoice.objects.filter(pk=invoice.id).first()
    if row is None:
        row = Invoice(pk=invoice.id, account=account)
    if row.read_at >= read_at:
        return
    for name, value in fields_of(invoice).items():
        setattr(row, name, value)
    row.read_at = read_at
    follow_payment(account, row)


def fields_of(invoice: stripe_gateway.Invoice) -> dict[str, object]:
    return {
        "stripe_subscription_id": invoice.subscription,
        "payment_intent_id": invoice.payment_intent,
        "number": invoice.number,
        "status": invoice.status,
        "period_start": moment(invoice.period_start),
        "period_end": moment(invoice.period_end),
        "total": invoice.total,
        "amount_due": invoice.amount_due,
        "amount_paid": invoice.amount_paid,
        "amount_remaining": invoice.amount_remaining,
        "credited": invoice.credited,
        "refunded": invoice.refunded,
        "dispute": invoice.dispute,
        "attempted": invoice.attempted,
        "created_at": moment(invoice.created),
        "finalized_at": moment(invoice.finalized_at),
        "hosted_url": invoice.hosted_url,
        "pdf_url": invoice.pdf_url,
    }


def follow_payment(account: Account, invoice: Invoice) -> None:
    """Save the invoice; the account, which is locked, owes since the first of its invoices failed.

    Who owes nothing more is answered again at once; an operator's suspension stays.
    """
    if not invoice.is_due:
        invoice.due_since = None
    elif invoice.due_since is None:
        # The clock of a Stripe for tests may be ahead of ours.
        now = timezone.now()
        invoice.due_since = min(invoice.finalized_at or now, now)
    invoice.save()
    account.payment_due_since = account.invoice_set.aggregate(first=Min("due_since"))["first"]
    if account.payment_due_since is None and account.status == decision.PAYMENT_FAILED:
        account.status = decision.ACTIVE
    account.save(update_fields=["payment_due_since", "status"])
    if invoice.due_since:
        tell(account, Notice.Kind.PAYMENT, invoice)


def tell(account: Account, kind: Notice.Kind, invoice: Invoice) -> None:
    """Have an e-mail sent, once for an invoice and its amount."""
    notice = Notice(
        account=account,
        period=invoice.period_start.date().replace(day=1),
        kind=kind,
        percent=0,
        limit=invoice.amount_remaining,
    )
    Notice.objects.bulk_create([notice], ignore_conflicts=True)


def close_overdue() -> int:
    """Refuse the calls of accounts whose days of grace are over; count them.

    An account that the operator has suspended is refused already, and stays as it is.
    """
    before = timezone.now() - timedelta(days=settings.PAYMENT_GRACE_DAYS)
    overdue = Account.objects.filter(status=decision.ACTIVE, payment_due_since__lte=before)
    return sum(close(account) for account in overdue)


@transaction.atomic  # the account is closed and told of it, or neither
def close(account: Account) -> bool:
    """Unless it has paid meanwhile."""
    still = Account.objects.filter(
        pk=account.pk, status=decision.ACTIVE, payment_due_since=account.payment_due_since
    )
    if not still.update(status=decision.PAYMENT_FAILED):
        return False
    first = account.invoice_set.exclude(due_since=None).earliest("due_since")
    tell(account, Notice.Kind.CLOSED, first)
    return True
