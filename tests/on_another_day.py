"""The product at a time of a test's choice: so many seconds from now as the file MOVED_BY says.

gunicorn loads `application` from here, and `python -m tests.on_another_day COMMAND` is manage.py.
What is moved is the time of Django, and that in the ids of calls; `tests.installation` moves the
database with it. The age of a webhook or of a code in an e-mail goes by real time still. The worker
process does each second what it would do each minute.
"""

import os
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import django
from django.core.management import execute_from_command_line
from django.utils import timezone

from mnistapi import uuid7

FILE = Path(os.environ["MOVED_BY"])


def moved_by() -> int:
    return int(FILE.read_text())


def now() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=moved_by())


def time_ns() -> int:
    return time.time_ns() + moved_by() * 1_000_000_000


# Before anything is imported that keeps them, as a model's default does.
timezone.now = now
uuid7.time = SimpleNamespace(time_ns=time_ns)  # type: ignore[assignment,attr-defined]


def manage(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnistapi.settings")
    django.setup()
    from billing.management.commands import bill

    bill.PAUSE_SECONDS, bill.STRIPE_SECONDS = 0.2, 1  # type: ignore[assignment]
    execute_from_command_line(arguments)


def __getattr__(name: str) -> Any:
    """The application, which only gunicorn asks for."""
    if name != "application":
        raise AttributeError(name)
    from mnistapi.asgi import application

    return application


if __name__ == "__main__":
    manage(sys.argv)
