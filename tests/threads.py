"""Work beside the test's own, on a connection to the database of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from django.db import connection


def in_a_thread(work: Callable[[], object]) -> "Future[Any]":
    """Run it on a connection of its own."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        finally:
            connection.close()

    threading.Thread(target=run).start()
    return future


def still_waits(future: "Future[Any]") -> bool:
    try:
        future.result(timeout=0.5)
    except TimeoutError:
        return True
    return False
