import signal
import threading
import time
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, close_old_connections, connection

from billing import invoices, notices, webhooks
from billing.stripe_gateway import StripeFault

PAUSE_SECONDS = 5
POLL_SECONDS = 60

log = structlog.get_logger()


class Command(BaseCommand):
    help = "What is done outside of calls: e-mails, overdue accounts, events. One pass, or --loop."

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
    poll_at = time.monotonic()
    while not stopped.is_set():
        close_old_connections()
        polls = time.monotonic() >= poll_at
        try:
            run_once(stopped, polls)
        except Error as error:
            log.error("pass_failed", error=str(error).partition("\n")[0])
            connection.close()
        if polls:
            poll_at = time.monotonic() + POLL_SECONDS
        stopped.wait(PAUSE_SECONDS)


def run_once(stopped: threading.Event, polls: bool = True) -> None:
    """One pass. Told to stop, it ends behind the e-mail that is being sent, or the event read."""
    invoices.close_overdue()
    for _ in notices.send_due():
        if stopped.is_set():
            return
    if polls:
        read_events(stopped)


def read_events(stopped: threading.Event) -> None:
    """What Stripe could not deliver. While it is away, the rest of a pass goes on."""
    try:
        for _ in webhooks.receive_undelivered():
            if stopped.is_set():
                return
    except StripeFault as fault:
        log.error("events_not_read", error=str(fault))
