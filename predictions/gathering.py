"""Joins the calls that arrive while a batch is being settled into the next one.

Nothing waits to fill a batch: a call that comes when nothing is being settled goes at once. But a
batch that waits for its accounts, which another process holds, takes along what arrives meanwhile.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Collection

import structlog

from predictions.calls import OpenCall, Outcome
from predictions.settlement import settle
from predictions.shadow import shadow

MAX_BATCH = 128

log = structlog.get_logger()

Waiting = tuple[OpenCall, "asyncio.Future[Outcome]"]


class Gathering:
    """Belongs to one event loop; one thread settles, on a database connection of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.arrived: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        # A batch that hangs must not keep the process from ending.
        self.thread = threading.Thread(target=self.work, name="settling", daemon=True)
        self.thread.start()

    def settle(self, call: OpenCall) -> "asyncio.Future[Outcome]":
        """The outcome of the call, in time. Whoever goes away meanwhile hurts nobody else."""
        future: asyncio.Future[Outcome] = self.loop.create_future()
        self.arrived.put((call, future))
        return future

    async def finish(self) -> None:
        """Wait until all that was given is settled."""
        self.arrived.put(None)
        while self.thread.is_alive():
            await asyncio.sleep(0.01)

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
        batch = Batch(self.arrived)
        while batch.begin():
            outcomes = settle(batch.calls(), batch.latecomers)
            self.loop.call_soon_threadsafe(answer, batch.waiting, outcomes)
            shadow.offer(batch.calls(), outcomes)


class Batch:
    """What the settling thread takes from the queue; the queue's None is the end."""

    def __init__(self, arrived: "queue.SimpleQueue[Waiting | None]") -> None:
        self.arrived = arrived
        self.waiting: list[Waiting] = []
        self.put_off: list[Waiting] = []
        self.is_last = False

    def begin(self) -> bool:
        """Wait for a call, and take those behind it; False if there are no more to come."""
        self.waiting, self.put_off = self.put_off, []
        if not self.waiting and not self.is_last:
            self.take(self.arrived.get())
        self.take_what_is_there()
        return bool(self.waiting)

    def calls(self) -> list[OpenCall]:
        return [call for call, _ in self.waiting]

    def latecomers(self, key_ids: Collection[int]) -> list[OpenCall]:
        """Take the calls with these keys that have arrived since; others are for the next batch."""
        before = len(self.waiting)
        self.take_what_is_there()
        arrived, self.waiting[before:] = self.waiting[before:], []
        late = [one for one in arrived if one[0].key.id in key_ids]
        self.put_off += [one for one in arrived if one[0].key.id not in key_ids]
        self.waiting += late
        return [call for call, _ in late]

    def take_what_is_there(self) -> None:
        while len(self.waiting) < MAX_BATCH and not self.arrived.empty():
            self.take(self.arrived.get())

    def take(self, one: Waiting | None) -> None:
        if one is None:
            self.is_last = True
        else:
            self.waiting.append(one)


def answer(waiting: list[Waiting], outcomes: list[Outcome]) -> None:
    """On the event loop: let the clients that are there still have their outcomes."""
    for (_, future), outcome in zip(waiting, outcomes, strict=True):
        if not future.done():
            future.set_result(outcome)
