"""A call on its way: as a door opens it, as a release has predicted it, as it is answered."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from accounts.models import APIKey
from billing.decision import Verdict
from mnistapi.problems import Problem
from predictions.idempotency import Identity, Retry
from predictions.images import Images


class Prediction(NamedTuple):
    """Probabilities [n, 10] of the images of a call, and the release that gave them.

    Of each image, `best` is the column of the most likely label, and `reasons` why it has none.
    """

    release: str
    probabilities: npt.NDArray[np.float32]
    best: Sequence[int]
    reasons: Sequence[str | None]

    def part(self, images: slice) -> "Prediction":
        return Prediction(
            self.release, self.probabilities[images], self.best[images], self.reasons[images]
        )

    @property
    def verdicts(self) -> list[str | int]:
        """Of each image the column of its label, or why it has none."""
        return [reason or best for best, reason in zip(self.best, self.reasons, strict=True)]


@dataclass(slots=True)
class OpenCall:
    """A call that is authenticated and not settled: with images, or with what refuses it.

    `began` is in seconds of `time.perf_counter`; `write` makes the bytes of the answer; `release`
    is the release asked for by name, None for the current one.
    """

    id: UUID
    key: APIKey
    began: float
    write: Callable[["Receipt"], bytes]
    images: Images | None = None
    release: str | None = None
    prediction: Prediction | None = None
    refusal: Problem | None = None
    retry: Retry | None = None

    @property
    def identity(self) -> Identity | None:
        if self.retry is None:
            return None
        return Identity(self.key.customer_id, self.key.livemode, self.retry.key)


class Receipt(NamedTuple):
    """What the answer to a settled call is written from."""

    id: UUID
    livemode: bool
    prediction: Prediction
    verdict: Verdict


class Answer(NamedTuple):
    """A 200, which is in the books as call `id`."""

    id: UUID
    body: bytes
    headers: Mapping[str, str]


Outcome = Answer | Problem
