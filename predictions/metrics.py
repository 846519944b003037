"""What this process counts of calls, for `/metrics`.

gunicorn's workers count into files of one directory (`gunicorn.conf.py`), so whichever of them is
asked tells of all. To write there takes longer than to count, so whoever has many calls counts them
before he writes. No label names a customer or a key.
"""

from bisect import bisect, bisect_left
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from prometheus_client import Counter, Gauge, Histogram

# Classes of batches, and the least calls of each.
SIZES, LEAST = ("1", "2-4", "5-16", "17-64", "65+"), (1, 2, 5, 17, 65)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Kind(NamedTuple):
    """How a call ended: `problem` is the code of a refusal, `release` is of an answer.

    A replay of a stored answer is a 200 without a release or units.
    """

    status: int
    problem: str = ""
    release: str = ""
    units: int = 0


class Observed:
    """Latencies, by the bucket of SECONDS that they fall into."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        bucket = bisect_left(SECONDS, seconds)
        self.sum += seconds
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1


class Latencies(Histogram):
    def write(self, observed: Observed) -> None:
        self._sum.inc(observed.sum)
        for bucket, number in observed.buckets.items():
            self._buckets[bucket].inc(number)


calls_total = Counter(
    "mnistapi_calls_total", "Calls by how they ended", ["status", "problem", "release"]
)
units_total = Counter("mnistapi_units_total", "Images that were answered and counted", ["release"])
call_seconds = Latencies(
    "mnistapi_call_seconds",
    "From the head of an authenticated call until it is settled",
    buckets=SECONDS,
)
settle_seconds = Latencies(
    "mnistapi_settle_seconds",
    "What one batch of calls took to be predicted and committed, by the number of its calls",
    ["calls"],
    buckets=SECONDS,
)
model_loaded = Gauge(
    "mnistapi_model_loaded",
    "Processes that serve this release",
    ["release", "runtime"],
    multiprocess_mode="livesum",
)
model_failed = Gauge(
    "mnistapi_model_failed",
    "Processes that cannot load the release that should answer, and go on with another",
    multiprocess_mode="livesum",
)
model_changes_total = Counter(
    "mnistapi_model_changes_total",
    "What serving.json asked of a running process, by whether it was loaded",
    ["outcome"],
)
shadow_calls_total = Counter(
    "mnistapi_shadow_calls_total",
    "Calls that a candidate was to be asked about, too, by what came of it",
    ["release", "outcome"],
)
shadow_images_total = Counter(
    "mnistapi_shadow_images_total",
    "Images that a candidate was asked about, by whether it agrees with the answer",
    ["release", "agrees"],
)

# What this process has answered with so far.
served: set[tuple[str, str]] = set()


class Counts:
    """Calls and batches that are counted and not written yet."""

    def __init__(self) -> None:
        self.calls: dict[Kind, int] = {}
        self.call_seconds = Observed()
        self.settle_seconds: dict[str, Observed] = {}

    def add(self, kinds: Sequence[Kind], latencies: Sequence[float], seconds: float) -> None:
        """The calls of a batch, and the time that the batch took."""
        for kind in kinds:
            self.calls[kind] = self.calls.get(kind, 0) + 1
        for latency in latencies:
            self.call_seconds.add(latency)
        self.settle_seconds.setdefault(size_of(len(kinds)), Observed()).add(seconds)

    def write(self) -> None:
        """Once."""
        for (status, problem, release, units), number in self.calls.items():
            calls_that(status, problem, release).inc(number)
            if units:
                units_of(release).inc(number * units)
        call_seconds.write(self.call_seconds)
        for size, observed in self.settle_seconds.items():
            batches_of(size).write(observed)


def count(kinds: Sequence[Kind], latencies: Sequence[float], seconds: float) -> None:
    """As `Counts.add`, and written at once."""
    counts = Counts()
    counts.add(kinds, latencies, seconds)
    counts.write()


def count_refusal(status: int, problem: str) -> None:
    """Count a call that was refused before it had an owner."""
    calls_that(status, problem, "").inc()


def serves(release: str, runtime: str, fails: bool = False) -> None:
    """This process answers with the release from now on; `fails` if it should with another."""
    for before in served:
        model_loaded.labels(*before).set(0)
    served.add((release, runtime))
    model_loaded.labels(release, runtime).set(1)
    model_failed.set(fails)


def count_change(is_failed: bool) -> None:
    model_changes_total.labels("failed" if is_failed else "loaded").inc()


def count_compared(release: str, images: int, disagreements: int) -> None:
    """A candidate was asked about a call with so many images."""
    shadow_calls_total.labels(release, "compared").inc()
    shadow_images_total.labels(release, "yes").inc(images - disagreements)
    shadow_images_total.labels(release, "no").inc(disagreements)


def count_not_compared(release: str, outcome: str) -> None:
    """A candidate "failed" on a call, or it was "dropped" as it had no time for it."""
    shadow_calls_total.labels(release, outcome).inc()


# To look up a child of a metric takes twice as long as to count.
@cache
def calls_that(status: int, problem: str, release: str) -> Counter:
    return calls_total.labels(str(status), problem, release)


@cache
def units_of(release: str) -> Counter:
    return units_total.labels(release)


@cache
def batches_of(size: str) -> Latencies:
    return settle_seconds.labels(size)


def size_of(calls: int) -> str:
    """Of a batch of so many calls, the class that it is counted in."""
    return SIZES[bisect(LEAST, calls) - 1]
