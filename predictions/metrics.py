"""What this process counts of calls, for `/metrics`: a few writes a batch, not a call.

gunicorn's workers count into files of one directory (`gunicorn.conf.py`), so whichever of them is
asked tells of all. No label names a customer or a key.
"""

from bisect import bisect, bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, Histogram

T = TypeVar("T")

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


class Latencies(Histogram):
    def add(self, seconds: float, buckets: Iterable[int]) -> None:
        """Observations that sum up to `seconds`, by their buckets: one write for each of these."""
        self._sum.inc(seconds)
        for bucket, number in tally(buckets).items():
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


def count(kinds: Sequence[Kind], latencies: Sequence[float], seconds: float) -> None:
    """Count the calls of a batch, and the time that the batch took."""
    for (status, problem, release, units), number in tally(kinds).items():
        calls_that(status, problem, release).inc(number)
        if units:
            units_of(release).inc(number * units)
    call_seconds.add(sum(latencies), [bisect_left(SECONDS, latency) for latency in latencies])
    batches_of(size_of(len(kinds))).add(seconds, [bisect_left(SECONDS, seconds)])


def count_refusal(status: int, problem: str) -> None:
    """Count a call that was refused before it had an owner."""
    calls_that(status, problem, "").inc()


def tally(items: Iterable[T]) -> dict[T, int]:
    """How often each comes; for a few, a `collections.Counter` takes three times as long."""
    numbers: dict[T, int] = {}
    for item in items:
        numbers[item] = numbers.get(item, 0) + 1
    return numbers


def serves(release: str, runtime: str) -> None:
    """This process has loaded the release."""
    model_loaded.labels(release, runtime).set(1)


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
