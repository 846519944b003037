"""A database that is lost at a moment of one's choice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from django.db import OperationalError, connection


def lose_connection() -> None:
    """It is this thread's."""
    end_server_process(connection.connection.info.backend_pid)


def end_server_process(pid: int) -> None:
    """Of a connection, as an operator of the database would."""
    other = psycopg2.connect(**connection.get_connection_params())
    try:
        with other, other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    finally:
        other.close()


@contextmanager
def lost_at(part: str, arrives: bool = False) -> Iterator[list[str]]:
    """The connection is lost at the first statement that holds `part`: behind it if it `arrives`.

    Gives the statements that were sent, that one too.
    """
    sent: list[str] = []

    def execute(
        run: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any
    ) -> Any:
        is_first = part in sql and not any(part in before for before in sent)
        sent.append(sql)
        if not is_first:
            return run(sql, parameters, many, context)
        if arrives:
            run(sql, parameters, many, context)
        lose_connection()
        if not arrives:
            return run(sql, parameters, many, context)
        connection.connection.close()
        raise OperationalError("server closed the connection unexpectedly")

    with connection.execute_wrapper(execute):
        yield sent
