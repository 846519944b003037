"""Asks a candidate about a share of the calls that the current release has answered.

Its answers are compared with those that were given, and counted; nobody gets them. It has a thread
of its own and a queue that drops what it has no room for, so that it holds up no answer.
"""

import queue
import random
import threading
import time
from dataclasses import asdict, dataclass
from typing import NamedTuple

import structlog

from model import serving
from predictions import metrics
from predictions.calls import Answer, OpenCall, Outcome, Prediction
from predictions.images import Images
from predictions.predicting import prediction_of

HELD = 32  # calls
MAX_IMAGES = 128  # of a call: 0.4 MB; one with more is passed over
REPORT_SECONDS = 60

log = structlog.get_logger()


class Answered(NamedTuple):
    release: str  # the candidate that is to be asked, too
    images: Images
    prediction: Prediction


@dataclass
class Tally:
    """What came of the calls since it was begun."""

    calls: int = 0
    images: int = 0
    disagreements: int = 0  # images of another label, or another reason for none
    failures: int = 0  # calls
    dropped: int = 0  # calls


class Shadow:
    """Belongs to one process."""

    def __init__(self) -> None:
        self.answered: queue.Queue[Answered] = queue.Queue(HELD)
        self.tally = Tally()
        self.thread: threading.Thread | None = None
        self.starting = threading.Lock()

    def offer(self, calls: list[OpenCall], outcomes: list[Outcome]) -> None:
        """Take the share of the calls that serving.json says, in microseconds; raises nothing."""
        try:
            if shadow := serving.loaded().shadow:
                self.take(shadow.release, shadow.share, calls, outcomes)
        except Exception:
            log.exception("shadow_failed")

    def take(
        self, release: str, share: float, calls: list[OpenCall], outcomes: list[Outcome]
    ) -> None:
        for call, outcome in zip(calls, outcomes, strict=True):
            if is_compared(call, outcome) and random.random() < share:
                assert call.images is not None
                assert call.prediction is not None
                self.put(Answered(release, call.images, call.prediction))

    def put(self, answered: Answered) -> None:
        self.start()
        try:
            self.answered.put_nowait(answered)
        except queue.Full:
            self.tally.dropped += 1
            metrics.count_not_compared(answered.release, "dropped")

    def start(self) -> None:
        """Start the thread on first use, which is behind the fork."""
        with self.starting:
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, name="shadow", daemon=True)
                self.thread.start()

    def work(self) -> None:
        report_at = time.monotonic() + REPORT_SECONDS
        while True:
            self.compare(self.answered.get())
            if time.monotonic() >= report_at:
                self.report()
                report_at = time.monotonic() + REPORT_SECONDS

    def compare(self, answered: Answered) -> None:
        """Raises nothing: a candidate may be broken in any way."""
        try:
            differ = disagreements(answered)
        except Exception:
            if not self.tally.failures:  # once a report: there may be thousands
                log.exception("shadow_failed", release=answered.release)
            self.tally.failures += 1
            metrics.count_not_compared(answered.release, "failed")
            return
        self.tally.calls += 1
        self.tally.images += len(answered.images)
        self.tally.disagreements += differ
        metrics.count_compared(answered.release, len(answered.images), differ)

    def report(self) -> None:
        tally, self.tally = self.tally, Tally()
        log.info("shadow_compared", **asdict(tally))


def is_compared(call: OpenCall, outcome: Outcome) -> bool:
    """Only what the current release has answered: who asks for a release knows why."""
    return (
        isinstance(outcome, Answer)
        and call.release is None
        and call.images is not None
        and len(call.images) <= MAX_IMAGES
        and call.prediction is not None
    )


def disagreements(answered: Answered) -> int:
    """How many images the candidate gives another label, or another reason for none."""
    theirs = prediction_of(serving.named(answered.release), answered.images).verdicts
    pairs = zip(answered.prediction.verdicts, theirs, strict=True)
    return sum(ours != other for ours, other in pairs)


shadow = Shadow()
