"""A transaction in two round trips: BEGIN travels with its first query, COMMIT with its last.

Its locks are let go when it is committed in memory, so that whoever waits for the same row need
not wait for the disk too; it has ended only when it is on the disk. Nobody can see what a crash
undoes: the log is written in order, so whoever built on it is undone with it.
"""

from collections.abc import Generator, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

from django.db import connection

T = TypeVar("T")
Statement = tuple[str, Sequence[Any]]
Rows = list[tuple[Any, ...]]
# What a transaction reads, for whoever has the connection: it yields queries, is sent their rows,
# and returns what it read.
Reading = Generator[Statement, Rows, T]

LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for a lock that was not had in lock_timeout
# The smallest transaction that has to reach the disk, and with it everything that came before.
FLUSH = "SELECT pg_logical_emit_message(true, '', '')"
BEGIN = "BEGIN; SET LOCAL synchronous_commit = off"
COMMIT = f"COMMIT; {FLUSH}"
ROLLBACK = "ROLLBACK"


def make_durable() -> None:
    """Return when all that is committed by now would survive a crash."""
    with connection.cursor() as cursor:
        cursor.execute(FLUSH)


def joined(statements: Iterable[Statement], end: str) -> Statement:
    """All of them, and the end, as one."""
    queries, parameters = zip(*statements, strict=True)
    return "; ".join([*queries, end]), list(chain(*parameters))


def is_lock_timeout(error: Exception) -> bool:
    return getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE


class Transaction:
    """One transaction on this thread's connection; within another one it is a savepoint of that.

    `django.db.transaction.atomic` takes four round trips for the same, each of its own system
    calls.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.is_ending = False
        if connection.in_atomic_block:
            name = f"s{uuid4().hex}"
            self._begin, self._commit = f"SAVEPOINT {name}", f"RELEASE SAVEPOINT {name}"
            self._rollback = f"ROLLBACK TO SAVEPOINT {name}"
        else:
            self._begin, self._commit, self._rollback = BEGIN, COMMIT, ROLLBACK

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.is_open and kind:
            self.rollback()

    def read(self, reading: Reading[T]) -> T:
        """Begin with its first query; gives what it read."""
        try:
            rows = self.begin(*next(reading))
            while True:
                rows = self.query(*reading.send(rows))
        except StopIteration as end:
            read: T = end.value
            return read

    def begin(self, sql: str, parameters: Sequence[Any]) -> Rows:
        self.is_open = True
        self.cursor = connection.cursor()  # one for all: to make it takes as long as to use it
        return self.query(f"{self._begin}; {sql}", parameters)

    def query(self, sql: str, parameters: Sequence[Any]) -> Rows:
        self.cursor.execute(sql, parameters)
        return list(self.cursor.fetchall())

    def commit(self, statements: Iterable[Statement]) -> None:
        """End with these statements. From here on a lost connection leaves the outcome unknown."""
        self.is_ending = True
        self.cursor.execute(*joined(statements, self._commit))
        self.is_open = False

    def rollback(self) -> None:
        """Undo it all; on a connection that is lost the database has done so already."""
        self.is_open = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(self._rollback)
        except Exception:
            connection.close()
