"""What is printed of the comparison: a table for the README, and which targets were met."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.samples import Samples

BASIS = "blog"  # the contestant that ratios are to
ALONE = "alone"


@dataclass(frozen=True)
class Column:
    """A quantity of a cell, with its ratio to that of the blog's app.

    `against` is the blog's cell to compare with; "" compares nothing. Or, if `to_itself`, it is
    another cell of the same contestant.
    """

    heading: str
    cell: str
    quantity: str
    format: str
    against: str = ""
    to_itself: bool = False

    def ratio(self, contestant: str, samples: Samples) -> float | None:
        to = contestant if self.to_itself else BASIS
        if not self.against or (to, self.against) == (contestant, self.cell):
            return None
        return samples.ratio(contestant, self.cell, self.quantity, to, self.against)

    def text(self, contestant: str, samples: Samples) -> str:
        figure = samples.median(contestant, self.cell, self.quantity)
        if figure is None:
            return "-"
        ratio = self.ratio(contestant, samples)
        return f"{figure:{self.format}}" + (f" ({short(ratio)})" if ratio is not None else "")


COLUMNS = {
    "calls 1": Column("calls/s, 1 connection", "1", "calls/s", ",.0f", "1"),
    "calls 16": Column("16", "16", "calls/s", ",.0f", "16"),
    "calls 64": Column("64", "64", "calls/s", ",.0f", "64"),
    "p50 16": Column("p50 of 16, ms", "16", "p50", ".1f", "16"),
    "p99 16": Column("p99 of 16", "16", "p99", ".1f", "16"),
    "p99 64": Column("p99 of 64", "64", "p99", ".1f", "64"),
    "CPU": Column("CPU a call, ms", "16", "CPU", ".2f", "16"),
    "PostgreSQL": Column("of it PostgreSQL", "16", "CPU of PostgreSQL", ".2f"),
    "JSON": Column("images/s, 100 as JSON", "json", "images/s", ",.0f", "16"),
    "npy": Column("100 as .npy", "npy", "images/s", ",.0f", "16"),
    "beside": Column("p99 of 16 beside 10 MB", "beside", "p99", ".1f", "16", to_itself=True),
    "MB": Column("memory, MB", ALONE, "MB", ",.0f", ALONE),
    "ready": Column("ready, s", ALONE, "ready", ".1f", ALONE),
}


@dataclass(frozen=True)
class Target:
    """A bound on a column's figure, or on its ratio."""

    contestant: str
    column: str
    bound: float
    at_least: bool = False
    is_ratio: bool = True

    def reached(self, samples: Samples) -> float | None:
        column = COLUMNS[self.column]
        if self.is_ratio:
            return column.ratio(self.contestant, samples)
        return samples.median(self.contestant, column.cell, column.quantity)

    def text(self, samples: Samples) -> str:
        name = f"{self.contestant}, {self.column}{', ratio' if self.is_ratio else ''}"
        return judged(name, self.reached(samples), self.bound, self.at_least)


TARGETS = [
    Target("asgi-litert", "calls 16", 3.0, at_least=True),
    Target("asgi-litert", "calls 64", 5.0, at_least=True),
    Target("asgi-tensorflow", "calls 16", 1.0, at_least=True),
    Target("asgi-tensorflow", "calls 64", 2.5, at_least=True),
    Target("asgi-litert", "p99 16", 0.6),
    Target("asgi-litert", "p99 64", 1.3),
    Target("asgi-litert", "JSON", 30, at_least=True),
    Target("asgi-litert", "npy", 100, at_least=True),
    Target("asgi-litert", "MB", 250, is_ratio=False),
    Target("asgi-litert", "ready", 3, is_ratio=False),
]


def table(titles: dict[str, str], samples: Samples) -> Iterator[str]:
    """Markdown: a row for each contestant, its title by its name."""
    columns = COLUMNS.values()
    yield row(["", *(column.heading for column in columns)])
    yield row(["---"] * (len(columns) + 1))
    for name, title in titles.items():
        yield row([title, *(column.text(name, samples) for column in columns)])


def row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def judged(name: str, figure: float | None, bound: float, at_least: bool = False) -> str:
    wanted = f"at {'least' if at_least else 'most'} {bound:g}"
    if figure is None:
        return f"{name}: not measured ({wanted})"
    met = figure >= bound if at_least else figure <= bound
    return f"{name}: {figure:.3g} ({wanted}): {'met' if met else 'MISSED'}"


def short(figure: float) -> str:
    digits = 0 if figure >= 10 else 1 if figure >= 1 else 2
    return f"{figure:.{digits}f}"
