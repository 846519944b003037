import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, InterfaceError, OperationalError, close_old_connections
from django.db.models.functions import Now

from billing import (
    closing,
    invoices,
    meter,
    meter_errors,
    nightly,
    notices,
    subscribing,
    webhooks,
)
from billing.models import Account, WorkerPass
from billing.stripe_gateway import StripeFault, StripeRefused

PAUSE_SECONDS = 5
STRIPE_SECONDS = 60  # between two looks at what Stripe has to do with

Part = Callable[[threading.Event], None]

log = structlog.get_logger()


class Command(BaseCommand):
    help = (
        "What is done outside of calls: send the notices that are due, push usage to Stripe, "
        "close the months that are over, prove the books once a night. One pass, or --loop."
    )

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
            Billing().run(stopped)


class Billing:
    """What is done with Stripe, from pass to pass. Each part goes on where another cannot."""

    def __init__(self) -> None:
        self.pushing = meter.Pushing()
        self.next_at = time.monotonic()

    def run(self, stopped: threading.Event) -> None:
        if stopped.is_set() or time.monotonic() < self.next_at:
            return
        self.next_at = time.monotonic() + STRIPE_SECONDS
        errors = [error for part in self.parts() if (error := attempted(part, stopped))]
        if errors:
            raise errors[0]
        WorkerPass.note(ended_at=Now())

    def parts(self) -> list[Part]:
        """Stripe is asked nothing before the first customer is known there."""
        if not Account.objects.exclude(stripe_customer_id="").exists():
            return [nightly.go_on]
        news = [receive_events, subscribing.follow_ends, meter_errors.poll]
        return [self.pushing.run, *news, closing.close_drafts, nightly.go_on]


def receive_events(stopped: threading.Event) -> None:
    """Those that no webhook brought. Told to stop, it ends before the next one."""
    for _ in webhooks.receive_undelivered():
        if stopped.is_set():
            return


def attempted(part: Part, stopped: threading.Event) -> Exception | None:
    """One that Stripe fails is tried again in the next pass; gives what time does not heal."""
    try:
        part(stopped)
    except StripeFault as error:
        log.error("stripe_failed", part=part.__name__, error=str(error))
        return error if isinstance(error, StripeRefused) else None
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("part_failed", part=part.__name__)
        return error
    return None


def run_until(stopped: threading.Event) -> None:
    """Pass after pass, whatever becomes of one: when the database is away it waits for it."""
    billing = Billing()
    while not stopped.is_set():
        close_old_connections()
        try:
            run_once(stopped)
            billing.run(stopped)
        except Error as error:
            log.error("pass_failed", error=str(error).partition("\n")[0])
        except Exception:
            log.exception("pass_failed")
        stopped.wait(PAUSE_SECONDS)


def run_once(stopped: threading.Event) -> None:
    """Close who is overdue, send what is due; told to stop, it ends behind the running e-mail."""
    invoices.close_overdue()
    for _ in notices.send_due():
        if stopped.is_set():
            return
