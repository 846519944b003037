"""What customers pay for: a counter each that a charge locks, and totals by the hour."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import APIKey, Customer
from billing import decision, rating
from billing.decision import AccountState, in_the_month_of, levels
from billing.meter_models import Closing as Closing
from billing.meter_models import MeterClaim as MeterClaim
from billing.meter_models import MeterError as MeterError
from billing.meter_models import MeterPush as MeterPush
from billing.meter_models import Proof as Proof
from billing.plans import FREE, PLANS
from billing.stripe_models import Invoice as Invoice
from billing.stripe_models import StripeEvent as StripeEvent
from billing.worker_models import ProofRun as ProofRun
from billing.worker_models import WorkerPass as WorkerPass

# An account is opened before any month that is counted, and rested.
NO_MONTH = date.min
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class AccountManager(models.Manager["Account"]):
    def of(self, customer: Customer) -> "Account":
        """The customer's account; opened when it is first asked for."""
        return self.get_or_create(customer=customer)[0]

    def seen(self, customer: Customer) -> "Account":
        """The customer's account to look at: as it will be opened, if it is not open yet."""
        account = self.select_related("customer__user").filter(customer=customer).first()
        return account or Account(customer=customer)

    def open(self, customer_ids: Iterable[int]) -> None:
        """An account for each of these customers who is there and has none yet."""
        there = Customer.objects.filter(pk__in=customer_ids)
        # In one order, so that two of these never wait for each other.
        new = [Account(customer=customer) for customer in there.order_by("pk")]
        self.bulk_create(new, ignore_conflicts=True)


DEFAULT_SPEND_LIMIT_CENTS = 50_00


class Account(models.Model):
    """Plan, limits and the units of the running month. This is the one row that a charge locks.

    Counters and rate state belong to `billing.ledger`: whoever changes a plan or a limit names
    just those fields in `update_fields`.
    """

    class Status(models.TextChoices):
        ACTIVE = decision.ACTIVE
        SUSPENDED = decision.SUSPENDED
        PAYMENT_FAILED = decision.PAYMENT_FAILED

    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, primary_key=True)
    plan = models.CharField(
        max_length=20,
        default=FREE.name,
        choices=[(plan.name, plan.title) for plan in PLANS.values()],
    )
    status = models.CharField(max_length=20, default=Status.ACTIVE, choices=Status.choices)
    spend_limit_cents = models.BigIntegerField(
        default=DEFAULT_SPEND_LIMIT_CENTS, help_text="of a month, in cents of a US dollar"
    )
    period = models.DateField(default=NO_MONTH, help_text="the first day of the month, in UTC")
    live_units = models.BigIntegerField(default=0)
    test_units = models.BigIntegerField(default=0)
    live_tat = models.DateTimeField(
        default=LONG_AGO, help_text="when the burst of live keys is whole again"
    )
    test_tat = models.DateTimeField(
        default=LONG_AGO, help_text="when the burst of test keys is whole again"
    )
    allowance_told = models.SmallIntegerField(default=0, help_text="percent, announced by e-mail")
    spend_told = models.SmallIntegerField(default=0, help_text="percent, announced by e-mail")

    stripe_customer_id = models.CharField(max_length=255, blank=True)
    stripe_subscription_id = models.CharField(
        max_length=255, blank=True, help_text="the one that runs, or the last one"
    )
    subscription_ends_at = models.DateTimeField(null=True)
    subscription_read_at = models.DateTimeField(default=LONG_AGO)
    payment_due_since = models.DateTimeField(null=True)

    objects = AccountManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="account_has_a_stripe_customer_of_its_own",
                fields=["stripe_customer_id"],
                condition=~Q(stripe_customer_id=""),
            ),
            models.CheckConstraint(
                name="account_units_are_not_negative",
                condition=Q(live_units__gte=0, test_units__gte=0),
            ),
            models.CheckConstraint(
                name="account_spend_limit_is_not_negative", condition=Q(spend_limit_cents__gte=0)
            ),
            models.CheckConstraint(name="account_plan_is_known", condition=Q(plan__in=list(PLANS))),
            models.CheckConstraint(
                name="account_status_is_known",
                condition=Q(
                    status__in=[decision.ACTIVE, decision.SUSPENDED, decision.PAYMENT_FAILED]
                ),
            ),
        ]

    def __str__(self) -> str:
        return str(self.customer)

    @property
    def state(self) -> AccountState:
        """What `billing.decision` knows of it."""
        return AccountState(**{name: getattr(self, name) for name in AccountState._fields})

    @property
    def this_month(self) -> AccountState:
        """The state in the running month, in UTC: before its first call it is at zero."""
        return in_the_month_of(timezone.now(), self.state)

    @property
    def is_subscribed(self) -> bool:
        """Whether his use is billed: an operator may put him on a plan before he has a card."""
        return bool(self.stripe_subscription_id) and PLANS[self.plan].is_billed

    @property
    def grace_ends_at(self) -> datetime | None:
        """When calls are refused, if what is due is not paid by then."""
        if self.payment_due_since is None:
            return None
        return self.payment_due_since + timedelta(days=settings.PAYMENT_GRACE_DAYS)

    def change(self, **fields: object) -> None:
        """Change the plan, the status or the spend limit.

        What was announced of the old limits is forgotten as far as it is not true of the new ones.
        """
        with transaction.atomic():  # a charge that runs meanwhile must not be overwritten
            locked = Account.objects.select_for_update().get(pk=self.pk)
            for name, value in fields.items():
                setattr(locked, name, value)
            allowance, spend = levels(locked.state, locked.state.cost)
            locked.allowance_told = min(locked.allowance_told, allowance)
            locked.spend_told = min(locked.spend_told, spend)
            locked.save(update_fields=[*fields, "allowance_told", "spend_told"])
        self.refresh_from_db()


GIVEN_UP_AFTER = timedelta(days=7)


class NoticeQuerySet(models.QuerySet["Notice"]):
    def due(self, at: datetime) -> "NoticeQuerySet":
        """Those to be sent at that time. What could not be sent for a week is given up."""
        return self.filter(sent_at=None, due_at__lte=at, made_at__gt=at - GIVEN_UP_AFTER)


class Notice(models.Model):
    """An e-mail, made in the transaction that gives reason for it and sent later.

    That a limit is near or reached, by the charge that reached it; that a payment failed, or that
    calls are refused for it, with the cents that are owed as `limit` and 0 percent.
    """

    class Kind(models.TextChoices):
        ALLOWANCE = "allowance", "Free allowance"
        SPEND = "spend", "Spend limit"
        PAYMENT = "payment", "Payment failed"
        CLOSED = "closed", "Calls refused until paid"

    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    period = models.DateField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    percent = models.SmallIntegerField()
    limit = models.BigIntegerField(help_text="units of the allowance, or cents")
    made_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(db_default=Now(), help_text="moved on when it cannot be sent")
    sent_at = models.DateTimeField(null=True)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="notice_is_made_once_a_month_for_a_limit",
                fields=["account", "period", "kind", "percent", "limit"],
            ),
        ]
        indexes = [
            models.Index(fields=["id"], name="notice_to_send", condition=Q(sent_at=None)),
        ]

    @property
    def limit_for_people(self) -> str:
        """Dollars, or units."""
        if self.kind != Notice.Kind.ALLOWANCE:
            return rating.shown(self.limit * rating.MICROS_PER_CENT)
        return f"{self.limit:,} units"

    def __str__(self) -> str:
        if not self.percent:
            return f"{self.get_kind_display()}, {self.account}"
        return f"{self.percent} % of the {self.get_kind_display().lower()}, {self.account}"


class UsageHour(models.Model):
    """The totals of an hour, counted in the transaction that logs the calls.

    Charts, exports and bills read these, never the log. `errors` are the calls that were not
    answered 200; `release` is empty for those that no model answered.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    key = models.ForeignKey(APIKey, on_delete=models.PROTECT, verbose_name="API key")
    release = models.CharField(max_length=100, blank=True)
    hour = models.DateTimeField(help_text="when the hour begins, in UTC")
    calls = models.BigIntegerField()
    units = models.BigIntegerField()
    errors = models.BigIntegerField()

    class Meta:
        verbose_name = "hour of usage"
        verbose_name_plural = "usage by hour"
        # Neither has a counter in it, so that counting a call changes no index.
        indexes = [
            models.Index(fields=["hour"], name="usagehour_hour"),
            models.Index(fields=["release", "hour"], name="usagehour_release"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="usagehour_is_counted_in_one_row",
                fields=["customer", "key", "release", "hour"],
            ),
            models.CheckConstraint(
                name="usagehour_errors_are_calls_without_units",
                condition=Q(
                    calls__gt=0, units__gte=0, errors__gte=0, errors__lte=models.F("calls")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.hour:%Y-%m-%d %H}:00"
