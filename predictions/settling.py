"""Settles batches of calls on an event loop, which reads on while the database works.

A thread stands by for what goes wrong: it settles as the other door does.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections, connections

from billing import ledger
from mnistapi import loop_connection
from mnistapi.loop_connection import LoopConnection
from mnistapi.problems import problem_from
from predictions import settlement
from predictions.calls import OpenCall, Outcome
from predictions.predicting import predict
from predictions.settlement import Entry, Latecomers

T = TypeVar("T")


class Settling:
    """Belongs to one event loop, and settles one batch at a time."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "settling")
        self.books: LoopConnection | None = None

    async def settle(self, calls: list[OpenCall], latecomers: Latecomers) -> list[Outcome]:
        """As `settlement.settle`; and `calls` is joined by those who come late."""
        predict(calls)
        entry = Entry(calls, latecomers)
        try:
            books = await self.opened_books()
        except Exception as error:
            return [problem_from(error)] * len(calls)
        try:
            await books.transact(entry.reading())
            return entry.outcomes
        except Exception as error:
            was_ending, was_lost = books.is_ending, books.is_lost
            await books.rollback()
            return await self.in_thread(settle_anew, entry, error, was_ending, was_lost)

    async def opened_books(self) -> LoopConnection:
        if self.books is None or self.books.is_lost:
            self.books = LoopConnection(await self.in_thread(loop_connection.connected))
        return self.books

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.thread, work, *arguments)

    def close(self) -> None:
        if self.books:
            self.books.close()
        self.thread.submit(connections.close_all)
        self.thread.shutdown()


def settle_anew(entry: Entry, error: Exception, was_ending: bool, was_lost: bool) -> list[Outcome]:
    """What becomes of calls whose transaction failed, on a connection that may be lost by that."""
    close_old_connections()
    try:
        if was_ending and isinstance(error, (OperationalError, InterfaceError)):
            if settlement.were_committed(entry.rows):
                return entry.outcomes
        elif was_lost or isinstance(error, ledger.NotOpen):
            return settlement.enter_in_the_books(entry.calls)
    except Exception as another:
        error = another
    return settlement.settle_in_spite_of(error, entry.calls)
