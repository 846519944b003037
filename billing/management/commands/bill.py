import signal
import threading
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, close_old_connections, connection

from billing import notices

PAUSE_SECONDS = 5

log = structlog.get_logger()


class Command(BaseCommand):
    help = "What is done outside of calls: send the notices that are due. One pass, or --loop."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--loop", action="store_true", help=f"a pass every {PAUSE_SECONDS} s, until SIGTERM"
        )

    def handle(self, *args: Any, loop: bool, **options: Any) -> None:
        stopped = threading.Event()
        if loop:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopped.set())
            run_until(stopped)
        else:
            run_once(stopped)


def run_until(stopped: threading.Event) -> None:
    """Pass after pass; one for which the database is away is tried again, as the next."""
    while not stopped.is_set():
        close_old_connections()
        try:
            run_once(stopped)
        except Error as error:
            log.error("pass_failed", error=str(error).partition("\n")[0])
            connection.close()
        stopped.wait(PAUSE_SECONDS)


def run_once(stopped: threading.Event) -> None:
    """One pass. Told to stop, it ends behind the e-mail that is being sent."""
    for _ in notices.send_due():
        if stopped.is_set():
            return
