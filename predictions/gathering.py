"""Joins the calls that arrive while a batch is being settled into the next one.

Nothing waits to fill a batch: a call that comes when nothing is being settled goes at once, with
those that came in the same turn of the event loop.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence

from predictions.settlement import OpenCall, Outcome, settle

MAX_BATCH = 128

Waiting = tuple[OpenCall, "asyncio.Future[Outcome]"]


class Gathering:
    """Belongs to one event loop; the one thread that settles is started with the first call."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.is_busy = False
        self.batches: queue.SimpleQueue[list[Waiting] | None] = queue.SimpleQueue()
        self.thread: threading.Thread | None = None

    def settle(self, call: OpenCall) -> "asyncio.Future[Outcome]":
        """The outcome of the call, in time. Whoever goes away meanwhile hurts nobody else."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()
        self.waiting.append((call, future))
        if not self.is_busy:
            self.is_busy = True
            loop.call_soon(self.settle_next, loop)
        return future

    async def finish(self) -> None:
        """Wait until all that was given is settled, and end the thread."""
        while self.is_busy:
            await asyncio.sleep(0.01)
        if self.thread:
            self.batches.put(None)

    def settle_next(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.thread is None:
            self.thread = threading.Thread(target=self.work, args=(loop,), name="settling")
            self.thread.daemon = True  # a batch that hangs must not keep the process from ending
            self.thread.start()
        batch, self.waiting = self.waiting[:MAX_BATCH], self.waiting[MAX_BATCH:]
        self.batches.put(batch)

    def work(self, loop: asyncio.AbstractEventLoop) -> None:
        """The settling thread: one batch after the other, on its own database connection."""
        while batch := self.batches.get():
            outcomes = settle([call for call, _ in batch])
            loop.call_soon_threadsafe(self.answer, loop, batch, outcomes)

    def answer(
        self, loop: asyncio.AbstractEventLoop, batch: Sequence[Waiting], outcomes: list[Outcome]
    ) -> None:
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            if not future.done():  # its client is there still
                future.set_result(outcome)
        if self.waiting:
            self.settle_next(loop)
        else:
            self.is_busy = False
