"""Where the evidence of a month comes from: our tables, and Stripe as it is now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, QuerySet, Sum, Value
from django.db.models.functions import TruncHour
from django.utils import timezone

from accounts.keys import Kind
from accounts.models import Customer
from billing import stripe_gateway
from billing.decision import first_instant, month_of, next_month
from billing.meter_models import MeterPush, Proof
from billing.models import Account
from billing.plans import PAYG, PLANS, Tier
from billing.proof import Billed, Evidence, Hours
from billing.stripe_gateway import Invoice, Subscription
from mnistapi.uuid7 import floor, made_at

SETTLING = timedelta(minutes=90)  # from the beginning of an hour until Stripe must have all of it
DRAFT = timedelta(days=3)  # as long as Stripe lets an invoice be a draft
ARRIVAL = timedelta(days=1)  # the id of a call is of its arrival, its hour of when it was counted
HOUR = 3_600  # seconds
FINAL = ("open", "paid", "uncollectible")


@dataclass(frozen=True)
class AtStripe:
    """What Stripe knows of a customer: nothing of one who never was a payer."""

    customer: str = ""
    subscriptions: tuple[Subscription, ...] = ()
    invoices: tuple[Invoice, ...] = ()

    def bills(self, period: date) -> bool:
        """Whether a subscription covers the month; each covers the one it was made in, whole."""
        start = first_instant(period).timestamp()
        return any(
            month_of(utc(one.created)) <= period and (one.ended_at is None or one.ended_at > start)
            for one in self.subscriptions
        )

    def invoice_of(self, period: date) -> Invoice | None:
        """The one of the month; one that was voided only if there is no other."""
        ours = [one for one in self.invoices if self.bills_usage_by(one)]
        of_month = [one for one in ours if month_of(utc(one.period_start)) == period]
        return min(of_month, key=lambda one: one.status == "void", default=None)

    def bills_usage_by(self, invoice: Invoice) -> bool:
        """Not by one that was made by hand or for what else the customer is sold, nor by the one of
        no length with which Stripe may begin a subscription."""
        is_ours = invoice.subscription in {one.id for one in self.subscriptions}
        return is_ours and invoice.period_start < invoice.period_end


def span_of(invoice: Invoice) -> tuple[datetime, datetime]:
    """The hours that begin in its period, as what is pushed carries the first seconds of its hour.

    A period begins within an hour if a subscription was ended at once and another one followed.
    """
    return full_hour(invoice.period_start), full_hour(invoice.period_end)


def full_hour(timestamp: int) -> datetime:
    """This one, or the next."""
    return utc(-(-timestamp // HOUR) * HOUR)


def prove(customer: Customer, periods: Iterable[date]) -> Iterator[Proof]:
    """Gather the evidence of each of these months anew; keep and give what came of it.

    Raises StripeFault.
    """
    account = Account.objects.seen(customer)
    stripe = at_stripe(account)
    for month in periods:
        evidence = gather(account, stripe, month)
        yield customer.proof_set.update_or_create(period=month, defaults=found(evidence))[0]


def at_stripe(account: Account) -> AtStripe:
    id = account.stripe_customer_id
    if not id:
        return AtStripe()
    subscriptions = stripe_gateway.subscriptions_of(id)
    return AtStripe(id, tuple(subscriptions), tuple(stripe_gateway.list_invoices(id)))


def gather(account: Account, stripe: AtStripe, period: date) -> Evidence:
    is_billed = stripe.bills(period)
    invoice = stripe.invoice_of(period) if is_billed else None
    start, end = span_of(invoice) if invoice else (first_instant(period), next_month(period))
    # Stripe first, then the pushes, then the ledger: what is counted meanwhile makes no difference.
    final = billed(invoice) if invoice and invoice.status in FINAL else None
    metered = metered_hours(stripe.customer, start, end) if is_billed else None
    pushed = pushed_hours(account.customer, start, end) if is_billed else None
    hours, log = ledger_and_log(account.customer, start, end)
    now = timezone.now()
    is_awaited = is_billed and not final and not (invoice and invoice.status == "void")
    late = is_awaited and bool(hours) and now > end + DRAFT
    return Evidence(
        period=period,
        tiers=tiers_of(account),
        settled_before=end if final else now - SETTLING,
        hours=hours,
        log=log if is_kept(period, now) else None,
        pushed=pushed,
        metered=metered,
        invoice=final,
        shown_cents=shown_cents(account, final) if final else None,
        missing=missing(invoice) if late else "",
    )


def shown_cents(account: Account, final: Billed) -> int | None:
    """By our copy of the invoice, once that knows that it is final."""
    copies = account.invoice_set.filter(pk=final.id, status__in=FINAL)
    return copies.values_list("total", flat=True).first()


def missing(invoice: Invoice | None) -> str:
    return f"invoice {invoice.id} is a {invoice.status}" if invoice else "there is no invoice"


def found(evidence: Evidence) -> dict[str, Any]:
    invoice = evidence.invoice
    return {
        "log_units": total(evidence.log),
        "hour_units": evidence.units,
        "pushed_units": total(evidence.pushed),
        "metered_units": total(evidence.metered),
        "invoiced_units": invoice.units if invoice else None,
        "rated_cents": evidence.rated_cents if invoice else None,
        "invoiced_cents": invoice.cents if invoice else None,
        "differences": "\n".join(evidence.differences()),
        "proved_at": timezone.now(),
    }


def total(hours: Hours | None) -> int | None:
    return None if hours is None else sum(hours.values())


def months(customer: Customer) -> Iterator[date]:
    """From the first call that log or ledger know up to the running month."""
    hour = customer.usagehour_set.order_by("hour").values_list("hour", flat=True).first()
    call = customer.calls.order_by("id").values_list("id", flat=True).first()
    begins = [*([hour] if hour else []), *([made_at(call)] if call else [])]
    month, today = month_of(min(begins, default=datetime.max)), timezone.now().date()
    while month <= today:
        yield month
        month = next_month(month).date()


def is_kept(period: date, now: datetime) -> bool:
    """Whether the log of that month has not been dropped yet."""
    age = (now.year - period.year) * 12 + now.month - period.month
    return age <= int(settings.CALL_RETENTION_MONTHS)


def tiers_of(account: Account) -> tuple[Tier, ...]:
    """What the account is billed by; who has gone back to a free plan owes by the one before."""
    return PLANS[account.plan].tiers or PAYG.tiers


def billed(invoice: Invoice) -> Billed:
    units = sum(line.quantity for line in stripe_gateway.list_lines(invoice.id))
    return Billed(invoice.id, units, invoice.total)


def metered_hours(customer: str, start: datetime, end: datetime) -> Hours:
    """By Stripe's meter. `customer` is Stripe's id."""
    if start == end:  # of nothing Stripe does not tell
        return {}
    span = int(start.timestamp()), int(end.timestamp())
    summaries = stripe_gateway.hourly_summaries(customer, *span)
    return {utc(one.start): one.units for one in summaries if one.units}


def pushes_of(customer: Customer, start: datetime, end: datetime) -> QuerySet[MeterPush]:
    return customer.meterpush_set.filter(hour__gte=start, hour__lt=end)


def pushed_hours(customer: Customer, start: datetime, end: datetime) -> Hours:
    """What Stripe took; not what may have been lost."""
    rows = pushes_of(customer, start, end)
    return {row.hour: row.units for row in rows if row.units is not None}


def live_hours(customer: Customer, start: datetime, end: datetime) -> Hours:
    """The ledger's units, of the hours that have some."""
    rows = customer.usagehour_set.filter(key__kind=Kind.LIVE, hour__gte=start, hour__lt=end)
    sums = rows.filter(units__gt=0).order_by().values("hour").annotate(total=Sum("units"))
    return dict(sums.values_list("hour", "total"))


def live_calls(customer: Customer, start: datetime, end: datetime) -> QuerySet[Any]:
    """What the log has of this time, but for the calls with test keys."""
    test_keys = customer.keys.filter(kind=Kind.TEST).values("id")
    arrived = customer.calls.filter(id__gte=floor(start - ARRIVAL), id__lt=floor(end + ARRIVAL))
    return arrived.filter(at__gte=start, at__lt=end).exclude(key_id__in=test_keys)


def ledger_and_log(customer: Customer, start: datetime, end: datetime) -> tuple[Hours, Hours]:
    """Both in one statement, and so at one moment."""
    ledger = (
        customer.usagehour_set.filter(key__kind=Kind.LIVE, hour__gte=start, hour__lt=end)
        .filter(units__gt=0)
        .order_by()
        .annotate(begins=F("hour"), book=Value("ledger"))
        .values("book", "begins")
        .annotate(total=Sum("units"))
    )
    log = (
        live_calls(customer, start, end)
        .filter(units__gt=0)
        .order_by()
        .annotate(begins=TruncHour("at", tzinfo=UTC), book=Value("log"))
        .values("book", "begins")
        .annotate(total=Sum("units"))
    )
    books: dict[str, dict[datetime, int]] = {"ledger": {}, "log": {}}
    for row in ledger.union(log, all=True):
        books[row["book"]][row["begins"]] = row["total"]
    return books["ledger"], books["log"]


def utc(timestamp: int) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)
