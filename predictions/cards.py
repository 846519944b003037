"""What is known of a release by its card, as people are shown it; pure.

A card is the card.json of a release, as `python -m model.card` measures it. A release may have
none, or less in it: what is not there is not shown.
"""

import base64
import io
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from model.labels import LABELS

Card = dict[str, Any]

SIDE = 28
REJECTED = "none"  # the last column of a confusion matrix
# A percentage of the images of a label from which on a cell has the next shade, by whether it is of
# right answers or of wrong ones.
STEPS = {True: (50, 80, 90, 95, 99), False: (0.05, 0.2, 0.5, 1, 2)}
LARGEST_DOT = 10


class Plot(NamedTuple):
    """Where the square of a diagram stands in its drawing, which has room for texts around it."""

    left: int = 52
    right: int = 352
    top: int = 12
    bottom: int = 312
    ticks: tuple[int, ...] = (0, 20, 40, 60, 80, 100)  # percent

    def across(self, share: float) -> float:
        return round(self.left + (self.right - self.left) * share, 1)

    def up(self, share: float) -> float:
        return round(self.bottom - (self.bottom - self.top) * share, 1)

    @property
    def grid(self) -> list[tuple[float, float, int]]:
        """Of each tick: how far across, how far down, and its text."""
        return [(self.across(tick / 100), self.up(tick / 100), tick) for tick in self.ticks]


PLOT = Plot()


@dataclass(frozen=True)
class Cell:
    count: int
    is_right: bool
    shade: int  # 0 to 5


@dataclass(frozen=True)
class Row:
    label: object
    cells: list[Cell]


def confusion(card: Card) -> list[Row]:
    """A row for each label, a cell for each answer, the last for none."""
    return [row(*one) for one in zip(LABELS, card.get("confusion", []), strict=False)]


def row(label: object, counts: list[int]) -> Row:
    answers = zip([*LABELS, REJECTED], counts, strict=True)
    total = sum(counts)
    return Row(label, [cell(count, total, answer == label) for answer, count in answers])


def cell(count: int, total: int, is_right: bool) -> Cell:
    percent = 100 * count / total if total else 0
    return Cell(count, is_right, sum(percent >= step for step in STEPS[is_right]))


@dataclass(frozen=True)
class Dot:
    """The answers of about one confidence: across it, and up how many of them were right."""

    x: float
    y: float
    radius: float
    count: int
    confidence: float
    accuracy: float


def calibration(card: Card) -> list[Dot]:
    """A dot for each bin that has answers, its area by how many."""
    bins = [one for one in card.get("calibration", {}).get("bins", []) if one["count"]]
    most = max((one["count"] for one in bins), default=1)
    return [
        Dot(
            x=PLOT.across(one["confidence"]),
            y=PLOT.up(one["accuracy"]),
            radius=round(max(3, LARGEST_DOT * (one["count"] / most) ** 0.5), 1),
            count=one["count"],
            confidence=one["confidence"],
            accuracy=one["accuracy"],
        )
        for one in bins
    ]


@dataclass(frozen=True)
class Hard:
    label: object
    answer: object  # None: it was taken for no digit
    confidence: float  # in that
    is_right: bool
    picture: str  # a data: URL


def hardest(card: Card) -> list[Hard]:
    return [
        Hard(
            label=LABELS[one["label"]],
            answer=None if one["answer"] is None else LABELS[one["answer"]],
            confidence=one["confidence"],
            is_right=one["answer"] == one["label"],
            picture=picture(base64.b64decode(one["pixels"])),
        )
        for one in card.get("hardest", [])
    ]


def picture(pixels: bytes) -> str:
    """28 rows of 28 pixels, ink = 255, as a PNG of dark ink on light paper."""
    file = io.BytesIO()
    ImageOps.invert(Image.frombytes("L", (SIDE, SIDE), pixels)).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def rejections(card: Card) -> list[dict[str, Any]]:
    """Of each source of images that show no digit: which share was called that."""
    return [{**one, "share": one["rejected"] / one["images"]} for one in card.get("rejection", [])]


def runtimes(card: Card) -> list[dict[str, Any]]:
    """Of each way to run it: how long an image takes, in milliseconds, and its size in bytes."""
    measured = card.get("runtimes", {})
    return [
        {"name": name, "milliseconds": time, "bytes": measured.get("bytes", {}).get(name)}
        for name, time in measured.get("milliseconds_an_image", {}).items()
    ]


def facts(card: Card, prefix: str = "") -> list[tuple[str, object]]:
    """What a card says of its training or versions, as a list: names are joined where they nest.

    A table, such as one over several seeds, is a line for each of its rows.
    """
    found: list[tuple[str, object]] = []
    for name, value in card.items():
        title = f"{prefix} {name}".strip().replace("_", " ")
        if isinstance(value, dict):
            found += facts(value, title)
        elif isinstance(value, list):
            found += [(title, in_words(row)) for row in value]
        else:
            found.append((title, value))
    return found


def in_words(row: object) -> str:
    if isinstance(row, dict):
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items())
    return str(row)
