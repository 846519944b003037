"""What is known of Stripe's meter: each hour's pushes, whose turn it is, and what went wrong."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import Customer

CLAIM = timedelta(minutes=2)
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=15), timedelta(hours=1)


class MeterPush(models.Model):
    """An hour of a customer at Stripe's meter.

    `pushes` is counted and committed before anything is sent: push k carries second k of the hour,
    so of an hour the newest is also the latest. `units` is what Stripe took last, and null where it
    may have been lost. Whatever is sent is the hour's total, so to send it again changes nothing.
    """

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    hour = models.DateTimeField(help_text="when the hour begins, in UTC")
    pushes = models.IntegerField(default=0)
    units = models.BigIntegerField(null=True)
    pushed_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(db_default=Now(), help_text="not pushed again before")
    trouble = models.CharField(max_length=300, blank=True, help_text="why Stripe refused it")

    class Meta:
        verbose_name = "hour at the meter"
        verbose_name_plural = "hours at the meter"
        constraints = [
            models.UniqueConstraint(name="meterpush_is_of_one_hour", fields=["customer", "hour"]),
            models.CheckConstraint(
                name="meterpush_stays_within_its_hour", condition=Q(pushes__gte=0, pushes__lt=3600)
            ),
        ]
        indexes = [models.Index(fields=["pushed_at"], name="meterpush_pushed")]

    def __str__(self) -> str:
        return f"{self.customer}, {self.hour:%Y-%m-%d %H}:00"


class MeterClaim(models.Model):
    """Who may push for a customer: Stripe takes one event of him at a time.

    Until `until` it is `holder` alone; whoever was killed is followed by another then. If two push
    at once all the same, the numbers of their pushes keep the totals right. After failures `until`
    is how long Stripe is left in peace.
    """

    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, primary_key=True)
    until = models.DateTimeField(db_default=Now())
    holder = models.UUIDField(default=uuid4)
    failures = models.SmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"the turn of {self.customer}"

    @staticmethod
    @transaction.atomic  # one wait for the disk, not two
    def take(customer_id: int) -> "MeterClaim | None":
        """The turn of this customer, unless somebody has it or it is too soon after a failure."""
        claims = MeterClaim.objects
        claims.bulk_create([MeterClaim(customer_id=customer_id)], ignore_conflicts=True)
        mine = uuid4()
        free = claims.filter(pk=customer_id, until__lte=Now())
        if not free.update(holder=mine, until=Now() + CLAIM):
            return None
        return claims.get(pk=customer_id)

    def renew(self) -> bool:
        """Whether it is still this process's turn; if so, for a while from now."""
        return self.change(until=Now() + CLAIM)

    def let_go(self) -> None:
        self.change(until=Now(), failures=0)

    def back_off(self) -> None:
        """Twice as long as after the failure before."""
        wait = min(SHORTEST_WAIT * 2 ** min(self.failures, 10), LONGEST_WAIT)
        self.change(until=Now() + wait, failures=F("failures") + 1)

    def change(self, **fields: Any) -> bool:
        mine = MeterClaim.objects.filter(pk=self.pk, holder=self.holder)
        return bool(mine.update(**fields))


class MeterError(models.Model):
    """What Stripe reported, later, of events that it had taken."""

    event_id = models.CharField(max_length=100, unique=True)
    type = models.CharField(max_length=100)
    errors = models.IntegerField(help_text="events that were not counted")
    summary = models.CharField(max_length=500)
    since = models.DateTimeField(help_text="the events were sent from then")
    until = models.DateTimeField(help_text="to then, in UTC")
    hours = models.IntegerField(help_text="that are pushed again")

    class Meta:
        verbose_name = "error of the meter"
        verbose_name_plural = "errors of the meter"

    def __str__(self) -> str:
        return f"{self.type}: {self.summary}"


class Closing(models.Model):
    """The end of a customer's month: from the draft of his invoice to its finalising."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    invoice_id = models.CharField(max_length=100, unique=True)
    period = models.DateField(help_text="the first day of the month, in UTC")
    opened_at = models.DateTimeField(db_default=Now())
    difference = models.TextField(blank=True, help_text="why it stays a draft")
    told_at = models.DateTimeField(null=True, help_text="when an operator was told")
    closed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="closing_open", condition=Q(closed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.period:%Y-%m}"


class Proof(models.Model):
    """What `manage.py prove` found last of a customer and a month: null is what does not apply."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT)
    period = models.DateField(help_text="the first day of the month, in UTC")
    log_units = models.BigIntegerField(null=True)
    hour_units = models.BigIntegerField()
    pushed_units = models.BigIntegerField(null=True)
    metered_units = models.BigIntegerField(null=True)
    invoiced_units = models.BigIntegerField(null=True)
    rated_cents = models.BigIntegerField(null=True)
    invoiced_cents = models.BigIntegerField(null=True)
    differences = models.TextField(blank=True)
    proved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="proof_is_the_last_one", fields=["customer", "period"]),
        ]
        indexes = [
            models.Index(fields=["id"], name="proof_differs", condition=~Q(differences="")),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.period:%Y-%m}"
