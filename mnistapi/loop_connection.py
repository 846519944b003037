"""A connection to the database that belongs to an event loop, which does not wait for it.

psycopg2's own asynchronous mode: a query is sent, and its rows are read when they are there.
"""

import asyncio
import select
import time
from collections.abc import Generator
from typing import Any, NoReturn

import psycopg2
from django.db import OperationalError, connection
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

from mnistapi.transactions import BEGIN, COMMIT, ROLLBACK, Reading, Rows, Statement, joined

Queries = Generator[Statement, Rows, None]

# As in gunicorn.conf.py, whose PGCONNECT_TIMEOUT libpq heeds only where it waits itself.
CONNECT_SECONDS = 3
SENT_WHOLE = 4096  # bytes, for which there is always room; more may leave in parts
# uvloop tells once, and never again, of a connection on which there was an error, so whoever waits
# looks for himself, too.
LOOK_SECONDS = 1
EVENTS = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}


def connected() -> Any:
    """A new asynchronous connection as the settings have it. Waits; raises Django's errors."""
    deadline = time.monotonic() + CONNECT_SECONDS
    with connection.wrap_database_errors:
        raw = psycopg2.connect(**connection.get_connection_params(), async_=True)
        while (state := raw.poll()) != POLL_OK:
            wait_for(raw, EVENTS[state], deadline)
    return raw


def wait_for(raw: Any, event: int, deadline: float) -> None:
    ready = select.poll()
    ready.register(raw, event)
    if not ready.poll(max(deadline - time.monotonic(), 0) * 1000):
        raw.close()
        raise OperationalError("the database did not answer in time")


class LoopConnection:
    """One transaction at a time, for one task. What it raises are Django's errors."""

    def __init__(self, raw: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.raw, self.cursor = raw, raw.cursor()
        self.file = raw.fileno()
        self.queries: Queries = nothing()  # of the transaction that is under way
        self.end: asyncio.Future[None] | None = None  # of that one
        self.is_closed = False
        self.is_ending = False  # of the last transaction: whether its COMMIT was sent
        self.loop.add_reader(self.file, self.go_on)
        self.next_look = self.loop.call_later(LOOK_SECONDS, self.look)

    @property
    def is_under_way(self) -> bool:
        """Whether a transaction is, and nothing of it has failed."""
        return self.end is not None and not self.end.done()

    @property
    def is_lost(self) -> bool:
        return bool(self.raw.closed)

    async def transact(self, reading: Reading[list[Statement]]) -> None:
        """Begin with the first query of `reading`, and end with the statements that it gives.

        `is_ending` then says whether these were sent: a connection that is lost behind them leaves
        the outcome unknown.
        """
        self.is_ending = False
        await self.run(self.all_of(reading))

    def all_of(self, reading: Reading[list[Statement]]) -> Queries:
        sql, parameters = next(reading)
        rows = yield f"{BEGIN}; {sql}", parameters
        try:
            while True:
                rows = yield reading.send(rows)
        except StopIteration as end:
            statements = end.value
        self.is_ending = True
        yield joined(statements, COMMIT)

    async def rollback(self) -> None:
        """Undo it all; on a connection that is lost the database has done so already."""
        if self.is_lost:
            return
        try:
            await self.run(only(ROLLBACK))
        except Exception:
            self.close()

    async def run(self, queries: Queries) -> None:
        self.queries, self.end = queries, self.loop.create_future()
        try:
            self.begin()
            await self.end
        except psycopg2.Error as error:
            raise_as_django_does(error)
        finally:
            self.end = None

    def begin(self) -> None:
        try:
            self.send(next(self.queries))
        except Exception as error:
            self.fail(error)

    def send(self, statement: Statement) -> None:
        self.cursor.execute(*statement)
        if len(self.cursor.query) > SENT_WHOLE:
            self.go_on()

    def go_on(self) -> None:
        """Send and read what there is, now that the connection can do either."""
        try:
            state = self.raw.poll()
            if state == POLL_WRITE:
                self.loop.add_writer(self.file, self.go_on)
            else:
                self.loop.remove_writer(self.file)
            if state == POLL_OK and self.is_under_way:
                self.send(self.queries.send(self.rows()))
        except StopIteration:
            self.finish()
        except Exception as error:
            self.fail(error)

    def look(self) -> None:
        self.next_look = self.loop.call_later(LOOK_SECONDS, self.look)
        if self.is_under_way:
            self.go_on()

    def rows(self) -> Rows:
        return self.cursor.fetchall() if self.cursor.description else []

    def finish(self) -> None:
        if self.end and not self.end.done():
            self.end.set_result(None)

    def fail(self, error: Exception) -> None:
        """A query failed, or what comes between two; or the server has gone while nobody asked.

        A connection that is lost is closed at once: its file may be another's in the next moment.
        """
        if self.is_lost or not self.end:
            self.close()
        if self.end and not self.end.done():
            self.end.set_exception(error)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self.next_look.cancel()
            self.loop.remove_reader(self.file)
            self.loop.remove_writer(self.file)
            self.raw.close()


def nothing() -> Queries:
    yield from ()


def only(sql: str) -> Queries:
    yield sql, []


def raise_as_django_does(error: Exception) -> NoReturn:
    with connection.wrap_database_errors:
        raise error
