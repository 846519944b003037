"""What is kept of Stripe: invoices, as they were when they were last read, and events."""

from datetime import UTC, datetime

from django.db import models
from django.db.models import Q

from billing import rating

# Before anything was read.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Invoice(models.Model):
    """An invoice at Stripe as it was at `read_at`. Amounts are in cents.

    `dispute` is the status of a dispute of its payment, in Stripe's words, or empty.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "in preparation"
        OPEN = "open", "open"
        PAID = "paid", "paid"
        UNCOLLECTIBLE = "uncollectible", "written off"
        VOID = "void", "void"

    stripe_id = models.CharField(max_length=255, primary_key=True)
    account = models.ForeignKey("billing.Account", on_delete=models.PROTECT)
    stripe_subscription_id = models.CharField(max_length=255, blank=True)
    payment_intent_id = models.CharField(max_length=255, blank=True, db_index=True)
    number = models.CharField(max_length=255, blank=True)
    status = models.CharField(max_length=20, choices=Status.choices)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    total = models.BigIntegerField()
    amount_due = models.BigIntegerField()
    amount_paid = models.BigIntegerField()
    amount_remaining = models.BigIntegerField()
    credited = models.BigIntegerField(default=0)
    refunded = models.BigIntegerField(default=0)
    dispute = models.CharField(max_length=40, blank=True)
    attempted = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    finalized_at = models.DateTimeField(null=True)
    due_since = models.DateTimeField(null=True, help_text="while its payment has failed")
    hosted_url = models.TextField(blank=True)
    pdf_url = models.TextField(blank=True)
    read_at = models.DateTimeField(default=NEVER)

    class Meta:
        ordering = ("-period_end", "-created_at", "stripe_id")
        constraints = [
            models.CheckConstraint(
                name="invoice_status_is_known",
                condition=Q(status__in=["draft", "open", "paid", "uncollectible", "void"]),
            ),
        ]
        indexes = [
            models.Index(fields=["-period_end", "-created_at", "stripe_id"], name="invoice_newest"),
            models.Index(fields=["number"], name="invoice_number"),
        ]

    def __str__(self) -> str:
        return self.number or self.stripe_id

    @property
    def is_due(self) -> bool:
        """Whether its payment failed, and it is owed; to write it off does not settle it."""
        failed = self.status == Invoice.Status.OPEN and self.attempted and self.amount_remaining > 0
        return failed or self.status == Invoice.Status.UNCOLLECTIBLE

    @property
    def standing(self) -> str:
        """Its status for people: with what became of a payment."""
        if self.dispute:
            return f"{self.get_status_display()}, disputed ({self.dispute.replace('_', ' ')})"
        if self.refunded:
            refunded = rating.shown(self.refunded * rating.MICROS_PER_CENT)
            return f"{self.get_status_display()}, {refunded} refunded"
        if self.status == Invoice.Status.OPEN and self.is_due:
            return "payment failed"
        return str(self.get_status_display())

    @property
    def total_micros(self) -> int:
        return self.total * rating.MICROS_PER_CENT


class StripeEvent(models.Model):
    """The inbox: an event is entered in the transaction that handles it, and so handled once."""

    stripe_id = models.CharField(max_length=255, primary_key=True)
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(help_text="by Stripe's clock")
    handled_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "event of Stripe"
        verbose_name_plural = "events of Stripe"
        indexes = [
            models.Index(fields=["created_at", "stripe_id"], name="stripeevent_newest"),
            models.Index(fields=["type", "created_at", "stripe_id"], name="stripeevent_type"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"
