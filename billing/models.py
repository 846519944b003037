"""What customers pay for: a counter each that a charge locks, and totals by the hour."""

from django.db import models
from django.db.models import Q

from accounts.models import APIKey, Customer


class Account(models.Model):
    """The units of the running month. This is the one row that a charge locks."""

    customer = models.OneToOneField(Customer, on_delete=models.PROTECT, primary_key=True)
    period = models.DateField(help_text="the first day of the month, in UTC")
    live_units = models.BigIntegerField(default=0)
    test_units = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="account_units_are_not_negative",
                condition=Q(live_units__gte=0, test_units__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.customer}, {self.period:%Y-%m}"


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
