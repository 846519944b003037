"""Joins the calls that arrive while a batch is being settled into the next one.

Nothing waits to fill a batch: it begins as soon as the event loop has read what has arrived. But a
batch that waits for its accounts, which another process holds, takes along what arrives meanwhile.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import structlog

from predictions import metrics, settlement
from predictions.calls import OpenCall, Outcome
from predictions.predicting import is_quick, predict
from predictions.settling import Settling
from predictions.shadow import shadow

MAX_BATCH = 128
# A batch of so many begins at once: more would hardly spare anything, and may still join it.
ENOUGH = 8
# So many calls are decoded one behind the other, which takes less than each between two reads, as
# the processor has the code at hand. With twice as many, fewer calls are answered.
DECODED_TOGETHER = 16
# Counts are written so often: for those of a batch it takes as long as to settle two calls.
WRITE_SECONDS = 0.1

log = structlog.get_logger()

Taker = Callable[[Outcome], None]
Waiting = tuple[OpenCall, Taker]


class Gathering:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.settling = Settling()
        self.undecoded: list[Callable[[], None]] = []
        self.arrived: deque[Waiting] = deque()
        self.turns: asyncio.Task[None] | None = None  # while there are calls to be settled
        self.counts = metrics.Counts()
        self.writing: asyncio.TimerHandle | None = None
        self.predicting = ThreadPoolExecutor(1, "predicting")
        self.unpredicted: deque[Waiting] = deque()
        self.predictions: asyncio.Task[None] | None = None  # while there are calls to be predicted

    def decode_with_others(self, decode: Callable[[], None]) -> None:
        """`decode` gives a call to `settle`. It is called when a batch begins, or takes latecomers
        along, at the latest.
        """
        self.undecoded.append(decode)
        if len(self.undecoded) >= DECODED_TOGETHER:
            self.decode()
        else:
            self.turn()

    def decode(self) -> None:
        undecoded, self.undecoded = self.undecoded, []
        for decode in undecoded:
            try:
                decode()
            except Exception:
                log.exception("not_decoded")

    def settle(self, call: OpenCall, taker: Taker) -> None:
        """Settle the call; its outcome is given to the taker, in time."""
        if is_quick(call):
            self.arrive(call, taker)
            return
        self.unpredicted.append((call, taker))
        if self.predictions is None:
            self.predictions = self.loop.create_task(self.predict_batches())

    def arrive(self, call: OpenCall, taker: Taker) -> None:
        self.arrived.append((call, taker))
        self.turn()

    def turn(self) -> None:
        if self.turns is None:
            self.turns = self.loop.create_task(self.settle_batches())

    def settled(self, call: OpenCall) -> "asyncio.Future[Outcome]":
        """The outcome of the call, in time. Whoever goes away meanwhile hurts nobody else."""
        future: asyncio.Future[Outcome] = self.loop.create_future()

        def take(outcome: Outcome) -> None:
            if not future.done():
                future.set_result(outcome)

        self.settle(call, take)
        return future

    async def predict_batches(self) -> None:
        """In a thread, while those before them are settled."""
        with ending_the_process():
            while self.unpredicted:
                batch = Batch(self.unpredicted)
                batch.take_what_is_there()
                await self.loop.run_in_executor(self.predicting, predict, batch.calls())
                for call, taker in batch.waiting:
                    self.arrive(call, taker)
            self.predictions = None

    async def settle_batches(self) -> None:
        with ending_the_process():
            while self.undecoded or self.arrived:
                await self.until_all_is_read()
                self.decode()
                if self.arrived:
                    await self.settle_batch()
            self.turns = None

    async def until_all_is_read(self) -> None:
        known = 0
        while known < (read := len(self.undecoded) + len(self.arrived)) < ENOUGH:
            known = read
            await asyncio.sleep(0)

    async def settle_batch(self) -> None:
        batch = Batch(self.arrived)
        batch.take_what_is_there()
        calls, began = batch.calls(), time.perf_counter()

        def latecomers(key_ids: Collection[int]) -> list[OpenCall]:
            self.decode()
            return batch.latecomers(key_ids)

        outcomes = await self.settling.settle(calls, latecomers)
        for (_, taker), outcome in zip(batch.waiting, outcomes, strict=True):
            answer(taker, outcome)
        settlement.note(calls, outcomes, began, self.count)
        shadow.offer(calls, outcomes)

    def count(
        self, kinds: Sequence[metrics.Kind], latencies: Sequence[float], seconds: float
    ) -> None:
        """As `metrics.count`, and written in time."""
        self.counts.add(kinds, latencies, seconds)
        if self.writing is None:
            self.writing = self.loop.call_later(WRITE_SECONDS, self.write_counts)

    def write_counts(self) -> None:
        counts, self.counts, self.writing = self.counts, metrics.Counts(), None
        try:
            counts.write()
        except Exception:
            log.exception("not_counted")

    async def finish(self) -> None:
        """Wait until all that was given is settled."""
        while self.turns or self.predictions:
            await asyncio.sleep(0.01)
        self.write_counts()
        self.predicting.shutdown()
        self.settling.close()


@contextmanager
def ending_the_process() -> Iterator[None]:
    """By a fault in what nothing would be answered without; gunicorn starts another."""
    try:
        yield
    except Exception:
        log.exception("gathering_ended")
        os._exit(1)


def answer(taker: Taker, outcome: Outcome) -> None:
    """What hinders one to take his answer hinders no other."""
    try:
        taker(outcome)
    except Exception:
        log.exception("not_answered")


class Batch:
    """What is taken together of the calls that have arrived."""

    def __init__(self, arrived: "deque[Waiting]") -> None:
        self.arrived = arrived
        self.waiting: list[Waiting] = []

    def calls(self) -> list[OpenCall]:
        return [call for call, _ in self.waiting]

    def latecomers(self, key_ids: Collection[int]) -> list[OpenCall]:
        """Take the calls with these keys that have arrived since; others are for the next batch."""
        before = len(self.waiting)
        self.take_what_is_there()
        arrived, self.waiting[before:] = self.waiting[before:], []
        late = [one for one in arrived if one[0].key.id in key_ids]
        others = [one for one in arrived if one[0].key.id not in key_ids]
        self.arrived.extendleft(reversed(others))
        self.waiting += late
        return [call for call, _ in late]

    def take_what_is_there(self) -> None:
        while self.arrived and len(self.waiting) < MAX_BATCH:
            self.waiting.append(self.arrived.popleft())
