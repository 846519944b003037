"""A process that frees large arrays again and again, and what the system has to do for it."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from uvicorn_worker import UvicornWorker

from mnistapi import worker
from mnistapi.seats import Seat
from mnistapi.worker import Worker

# Prints the page faults a round, behind the first ones, whose memory is new. An array has the size
# of a hundred images.
PROGRAM = """
import resource, sys
import numpy as np
from mnistapi.memory import keep_what_is_freed

if sys.argv[1] == "kept":
    keep_what_is_freed()

def round():
    arrays = [np.ones(75_000, np.float32) for _ in range(3)]
    del arrays

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(20):
    round()
before = faults()
for _ in range(100):
    round()
print((faults() - before) // 100)
"""


@pytest.mark.parametrize(("how", "is_kept"), [("kept", True), ("given back", False)])
def test_memory_that_is_freed_need_not_be_asked_for_again(how: str, is_kept: bool) -> None:
    command = [sys.executable, "-c", PROGRAM, how]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert (int(printed.stdout) < 10) == is_kept


@pytest.fixture
def seat() -> Iterator[Seat]:
    seat = Seat()
    yield seat
    seat.leave()


def test_a_worker_does_so_before_it_loads_anything(
    monkeypatch: pytest.MonkeyPatch, seat: Seat
) -> None:
    steps: list[str] = []
    monkeypatch.setattr(worker, "keep_what_is_freed", lambda: steps.append("keep"))
    monkeypatch.setattr(UvicornWorker, "load_wsgi", lambda self: steps.append("load"))
    monkeypatch.setattr(gc, "freeze", lambda: steps.append("freeze"))
    monkeypatch.setattr(gc, "set_threshold", lambda objects: None)
    own = Worker.__new__(Worker)
    own.seat, own.config = seat, SimpleNamespace()

    own.load_wsgi()

    assert steps == ["keep", "load", "freeze"]
