"""Joins the calls that arrive while a batch is being settled into the next one.

Nothing waits to fill a batch: it begins as soon as the event loop has read what has arrived. But a
batch that waits for its accounts, which another process holds, takes along what arrives meanwhile.
"""

import asyncio
import os
import queue
import threading
from collections import deque
from collections.abc import Collection

import structlog

from predictions.calls import OpenCall, Outcome
from predictions.settlement import settle
from predictions.shadow import shadow

MAX_BATCH = 128
# A batch of so many begins at once: more would hardly spare anything, and may still join it.
ENOUGH = 8

log = structlog.get_logger()

Waiting = tuple[OpenCall, "asyncio.Future[Outcome]"]


class Gathering:
    """Belongs to one event loop; one thread settles, on a database connection of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.arrived: deque[Waiting] = deque()
        self.begun: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()  # None is the end
        self.turn: asyncio.Task[None] | None = None  # from the first call of a batch to its answers
        # A batch that hangs must not keep the process from ending.
        self.thread = threading.Thread(target=self.work, name="settling", daemon=True)
        self.thread.start()

    def settle(self, call: OpenCall) -> "asyncio.Future[Outcome]":
        """The outcome of the call, in time. Whoever goes away meanwhile hurts nobody else."""
        future: asyncio.Future[Outcome] = self.loop.create_future()
        self.arrived.append((call, future))
        if self.turn is None:
            self.turn = self.loop.create_task(self.begin())
        return future

    async def begin(self) -> None:
        """Begin a batch, once the loop has read what is there.

        What one turn of the loop reads, the next makes a call of.
        """
        known = 0
        while known < len(self.arrived) < ENOUGH:
            known = len(self.arrived)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.begun.put(Batch(self.arrived))

    def answer(self, batch: "Batch", outcomes: list[Outcome]) -> None:
        """Let the clients that are there still have their outcomes; and begin the next batch."""
        for (_, future), outcome in zip(batch.waiting, outcomes, strict=True):
            if not future.done():
                future.set_result(outcome)
        self.turn = self.loop.create_task(self.begin()) if self.arrived else None

    async def finish(self) -> None:
        """Wait until all that was given is settled."""
        while self.turn is not None:
            await asyncio.sleep(0.01)
        self.begun.put(None)
        self.thread.join()

    def work(self) -> None:
        """The settling thread. Without it nothing would be answered here any more, so a fault that
        ends it ends the process, and gunicorn starts another.
        """
        try:
            self.settle_batches()
        except Exception:
            log.exception("settling_ended")
            os._exit(1)

    def settle_batches(self) -> None:
        while (batch := self.begun.get()) is not None:
            batch.take_what_is_there()
            outcomes = settle(batch.calls(), batch.latecomers)
            self.loop.call_soon_threadsafe(self.answer, batch, outcomes)
            shadow.offer(batch.calls(), outcomes)


class Batch:
    """What the settling thread takes of the calls that have arrived."""

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
