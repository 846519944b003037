"""How gunicorn serves; it reads this file by itself, and PORT and its address from the environment.

The application is imported in each worker, after the fork (mnistapi/wsgi.py says why).
"""

import os
import shutil
import tempfile
from typing import Any

from mnistapi.logs import LOGGING
from mnistapi.seats import Seat
from model import last_good  # noqa: F401  # its memory is shared by the workers forked from here

wsgi_app = "mnistapi.asgi"
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "mnistapi.worker.Worker"
timeout = 30
graceful_timeout = 30
# Longer than a router in front keeps an idle connection (Cloud Foundry and Heroku: 90 s), so that
# no request meets one that is being closed.
keepalive = 100
preload_app = False
logconfig_dict = LOGGING
control_socket_disable = True
# Nothing must wait without end for a database that hangs or a lock that stays.
raw_env = [
    "PGCONNECT_TIMEOUT=3",
    "PGOPTIONS=-c lock_timeout=5s -c statement_timeout=15s"
    " -c idle_in_transaction_session_timeout=60s",
]


def on_starting(server: Any) -> None:
    """A new directory for what the workers count (mnistapi/metrics.py): each start is from zero."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="mnistapi-metrics-")


def pre_fork(server: Any, worker: Any) -> None:
    worker.seat = Seat()


def child_exit(server: Any, worker: Any) -> None:
    """What a worker counted stays; that it serves a model, and has connections, is over."""
    from prometheus_client.multiprocess import mark_process_dead

    worker.seat.leave()
    mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
