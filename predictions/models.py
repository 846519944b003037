"""The log: one row a call that a key authenticated, whatever came of it."""

from django.db import models
from django.db.models import Q

from accounts.models import APIKey, Customer


class Call(models.Model):
    """A call. Its id is its request id; the image and the key are never here.

    Append-only, and partitioned by month of the id (`predictions.partitions`). References are not
    checked by the database, which would cost each call two look-ups: the hour that is counted in
    the same transaction has the same customer and key, and is checked.
    """

    id = models.UUIDField(primary_key=True, verbose_name="request id")
    at = models.DateTimeField(help_text="when it is counted, in UTC")
    customer = models.ForeignKey(
        Customer, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="calls"
    )
    key = models.ForeignKey(
        APIKey, models.DO_NOTHING, db_constraint=False, db_index=False, verbose_name="API key"
    )
    release = models.CharField(max_length=100, blank=True, help_text="of the model that answered")
    units = models.IntegerField(help_text="images that were answered, and are paid for")
    status = models.SmallIntegerField()
    problem = models.CharField(max_length=40, blank=True)
    latency_ms = models.FloatField(help_text="from arrival to here")

    class Meta:
        indexes = [
            models.Index(fields=["customer", "id"], name="call_by_customer"),
            models.Index(fields=["status", "id"], name="call_errors", condition=~Q(status=200)),
        ]
        constraints = [
            models.CheckConstraint(
                name="call_has_units_if_and_only_if_answered",
                condition=Q(status=200, problem="", units__gt=0)
                | Q(~Q(status=200), ~Q(problem=""), units=0),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class Idempotency(models.Model):
    """What a call with an `Idempotency-Key` was answered, for whoever sends it again.

    Only answers of 200 are stored: a refusal executed nothing, so the call may be made again.
    """

    pk = models.CompositePrimaryKey("customer", "livemode", "idempotency_key")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", db_index=False)
    livemode = models.BooleanField()
    idempotency_key = models.CharField(max_length=255)
    digest = models.BinaryField(help_text="SHA-256 of what was sent")
    call_id = models.UUIDField()
    body = models.BinaryField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.idempotency_key} of {self.customer}"
