"""`manage.py bill`, which kills itself at its n-th step: `python -m tests.killed N`.

A step is a statement, a commit or a request to Stripe: it dies before or behind it. With fewer
steps than that it ends by itself, and prints how many it took.
"""

import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import django
from django.core.management import call_command
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from requests.adapters import HTTPAdapter


def main(last: int) -> None:
    steps = count(1)

    def step() -> None:
        if next(steps) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            step()
            result = function(*args, **more)
            step()
            return result

        return run

    for kind, name in ((CursorWrapper, "execute"), (BaseDatabaseWrapper, "_commit")):
        setattr(kind, name, counted(getattr(kind, name)))
    HTTPAdapter.send = counted(HTTPAdapter.send)  # type: ignore[method-assign]
    call_command("bill")
    print(next(steps) - 1)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnistapi.settings")
    django.setup()
    main(int(sys.argv[1]))
