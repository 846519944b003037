"""What can be said of a release by its answers to digits whose labels are known.

n is the number of images; `probabilities` are [n, 10], as `serving.Release` gives them.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.labels import LABELS, LEAST_PROBABILITY

Probabilities = NDArray[np.float32]
Labels = NDArray[np.uint8]

REJECTED = len(LABELS)  # the answer that it is none of them
NORMAL_95 = 1.959964  # 95 % of a normal distribution are so many standard deviations around it
BINS = 10


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence is in (low, high]."""

    low: float
    high: float
    count: int
    confidence: float  # mean; 0 where there is no answer
    accuracy: float


@dataclass(frozen=True)
class Hard:
    index: int  # among the images
    label: int
    answer: int  # or REJECTED
    confidence: float  # in the answer, or that it is no digit


def answers(probabilities: Probabilities) -> NDArray[np.intp]:
    """[n] of 0..9, or REJECTED where the product says that it is no digit."""
    rejected = probabilities.sum(axis=1) < LEAST_PROBABILITY
    return np.where(rejected, REJECTED, probabilities.argmax(axis=1))


def wilson(right: int, total: int) -> Interval:
    """The 95 % interval of a share by Wilson (1927), which is never outside 0..1."""
    z2 = NORMAL_95**2
    share = right / total
    middle = (share + z2 / total / 2) / (1 + z2 / total)
    spread = math.sqrt(share * (1 - share) / total + (z2 / total) / total / 4)
    half = NORMAL_95 * spread / (1 + z2 / total)
    return Interval(middle - half, middle + half)


def confusion(probabilities: Probabilities, labels: Labels) -> NDArray[np.intp]:
    """[10, 11]: how often a label, by row, got an answer, by column; the last is REJECTED."""
    cells = labels.astype(np.intp) * (REJECTED + 1) + answers(probabilities)
    counts = np.bincount(cells, minlength=len(LABELS) * (REJECTED + 1))
    return counts.reshape(len(LABELS), REJECTED + 1)


def calibration(probabilities: Probabilities, labels: Labels) -> list[Bin]:
    """The answers that name a digit, by their confidence, which is the digit's probability."""
    given = answers(probabilities)
    confidence = probabilities.max(axis=1)[given != REJECTED].astype(np.float64)
    right = (given == labels)[given != REJECTED]
    edges = np.linspace(0, 1, BINS + 1)
    places = np.clip(np.searchsorted(edges, confidence) - 1, 0, BINS - 1)
    return [
        Bin(
            low=round(float(edges[i]), 9),
            high=round(float(edges[i + 1]), 9),
            count=int((places == i).sum()),
            confidence=mean(confidence[places == i]),
            accuracy=mean(right[places == i].astype(np.float64)),
        )
        for i in range(BINS)
    ]


def expected_calibration_error(bins: list[Bin]) -> float:
    """How far confidence is from accuracy, the mean over all answers."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / max(1, total)


def mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0


def hardest(probabilities: Probabilities, labels: Labels, count: int) -> list[Hard]:
    """The images to whose label the least probability was given, the worst first."""
    of_label = probabilities[np.arange(len(labels)), labels]
    given = answers(probabilities)
    confidence = np.where(given == REJECTED, 1 - probabilities.sum(axis=1), probabilities.max(1))
    return [
        Hard(int(i), int(labels[i]), int(given[i]), float(confidence[i]))
        for i in np.argsort(of_label, kind="stable")[:count]
    ]
