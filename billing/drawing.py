"""Where the bars of a chart stand, in the units of a drawing 900 wide and 200 high."""

from dataclasses import dataclass

from django.utils.text import slugify

from billing.usage import Day

LEFT, RIGHT, TOP, BOTTOM = 70, 890, 12, 172
DATES_AT_MOST = 8


@dataclass(frozen=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A text beside an axis, `at` so many units along it."""

    at: float
    text: str


@dataclass(frozen=True)
class Panel:
    name: str
    title: str
    description: str
    bars: list[Bar]
    levels: list[Mark]
    dates: list[Mark]


def panels(days: list[Day]) -> list[Panel]:
    """Two drawings of the same days: their calls, and the percentage of these that were errors."""
    if not days:
        return []
    span = f"from {days[0].date} to {days[-1].date}"
    calls = [float(day.calls) for day in days]
    shares = [day.percent for day in days]
    return [
        panel("Calls a day", f"Calls on each day {span}.", days, calls, "{:,.0f}"),
        panel("Share of errors", f"Errors among the calls {span}.", days, shares, "{:.3g} %"),
    ]


def panel(title: str, description: str, days: list[Day], values: list[float], form: str) -> Panel:
    """The values of the days as bars under a round number; `form` writes one for people."""
    top = ceiling(max(values))
    step = (RIGHT - LEFT) / len(days)
    lefts = [LEFT + step * index for index in range(len(days))]
    bars = [
        Bar(
            x=round(left + step * 0.1, 2),
            y=height_of(value, top),
            width=round(step * 0.8, 2),
            height=round(BOTTOM - height_of(value, top), 2),
            label=f"{day.date}: {form.format(value)}",
        )
        for left, day, value in zip(lefts, days, values, strict=True)
    ]
    levels = [Mark(height_of(level, top), form.format(level)) for level in (0.0, top / 2, top)]
    dates = [
        Mark(round(left + step / 2, 2), f"{day.date:%d %b}")
        for left, day in zip(lefts, days, strict=True)
    ]
    return Panel(slugify(title), title, description, bars, levels, sparse(dates))


def sparse(marks: list[Mark]) -> list[Mark]:
    return marks[:: -(-len(marks) // DATES_AT_MOST)]


def height_of(value: float, top: float) -> float:
    """How far down the drawing a value stands."""
    return round(BOTTOM - (BOTTOM - TOP) * value / top, 2)


def ceiling(value: float) -> float:
    """The value, rounded up to 2, 4, 10, 20, 40, 100, ...: half of each is a whole number."""
    scale = 1
    while True:
        for digit in (2, 4, 10):
            if value <= digit * scale:
                return digit * scale
        scale *= 10
