"""What was used, day by day, from the totals of the hours; the log is never asked."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from billing.models import UsageHour


@dataclass(frozen=True)
class Day:
    """A day in UTC."""

    date: date
    calls: int = 0
    units: int = 0
    errors: int = 0

    @property
    def percent(self) -> float:
        """The share of errors: 0 on a day without calls."""
        return 100 * self.errors / self.calls if self.calls else 0.0


def by_day(hours: QuerySet[UsageHour], first: date, end: date) -> list[Day]:
    """The totals of each day from `first` to before `end`, also of those without calls."""
    totals = (
        hours.filter(hour__gte=midnight(first), hour__lt=midnight(end))
        .order_by()
        .values_list(TruncDate("hour", tzinfo=UTC))
        .annotate(Sum("calls"), Sum("units"), Sum("errors"))
    )
    sums = {day: counts for day, *counts in totals}
    dates = [first + timedelta(days=later) for later in range((end - first).days)]
    return [Day(day, *sums.get(day, ())) for day in dates]


def midnight(day: date) -> datetime:
    """When the day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
