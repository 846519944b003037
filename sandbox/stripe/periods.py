"""Calendar months from an anchor, in UTC: pure arithmetic on timestamps."""

from calendar import monthrange
from datetime import UTC, datetime


def months_after(anchor: int, months: int) -> int:
    """The same day and time so many months on; the last day where a month is too short."""
    then = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(then.year * 12 + then.month - 1 + months, 12)
    day = min(then.day, monthrange(year, month + 1)[1])
    return int(then.replace(year=year, month=month + 1, day=day).timestamp())


def next_after(anchor: int, moment: int) -> int:
    """The first of the anchored months' ends that lies after the moment."""
    apart = datetime.fromtimestamp(moment, UTC), datetime.fromtimestamp(anchor, UTC)
    months = (apart[0].year - apart[1].year) * 12 + apart[0].month - apart[1].month
    return next(
        end for n in range(months - 1, months + 3) if (end := months_after(anchor, n)) > moment
    )


def day_after(moment: int, day: int, hour: int, minute: int, second: int) -> int:
    """The next time that it is this day of a month and this time of the day."""
    now = datetime.fromtimestamp(moment, UTC)
    first = now.replace(day=1, hour=hour, minute=minute, second=second, microsecond=0)
    candidates = (on_day(months_after(int(first.timestamp()), n), day) for n in range(2))
    return next(then for then in candidates if then > moment)


def on_day(first: int, day: int) -> int:
    """That day of the month whose first day is given, or its last one."""
    then = datetime.fromtimestamp(first, UTC)
    return first + 86_400 * (min(day, monthrange(then.year, then.month)[1]) - 1)
