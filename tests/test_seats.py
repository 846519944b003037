"""Worker processes that tell each other how many connections they have."""

import os
import runpy
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mnistapi.seats import BOARD, NOBODY, SEATS, TURNS, Seat
from tests.serving import ROOT


@pytest.fixture
def seats() -> Iterator[tuple[Seat, Seat]]:
    own, other = Seat(), Seat()
    yield own, other
    own.leave()
    other.leave()


@pytest.fixture
def yielded(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that other processes were let run."""
    times: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: times.append(None))
    return times


@pytest.mark.parametrize(
    ("own", "other", "times"), [(1, 0, TURNS), (1, 1, 0), (0, 1, 0), (9, 7, TURNS)]
)
def test_who_has_more_connections_than_another_gives_way(
    seats: tuple[Seat, Seat], yielded: list[None], own: int, other: int, times: int
) -> None:
    seats[0].tell(own)
    seats[1].tell(other)

    seats[0].give_way()

    assert len(yielded) == times


def test_who_gives_way_goes_on_once_the_other_has_taken_a_connection(
    seats: tuple[Seat, Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = seats
    own.tell(3)
    counts = iter([2, 3, 4])
    monkeypatch.setattr(os, "sched_yield", lambda: other.tell(next(counts)))

    own.give_way()

    assert BOARD[other.number] == 3


def test_who_finds_no_seat_is_not_looked_at(yielded: list[None]) -> None:
    seats = [Seat() for _ in range(SEATS + 2)]
    first, *_, late, last = seats
    for seat in seats[:SEATS]:
        seat.tell(1)
    first.give_way()
    before = len(yielded)
    last.tell(2)
    last.give_way()
    for seat in seats:
        seat.leave()

    assert late.number == last.number == SEATS
    assert (before, len(yielded)) == (0, TURNS)


def test_who_is_alone_gives_way_to_nobody(yielded: list[None]) -> None:
    seat = Seat()
    seat.tell(5)

    seat.give_way()
    seat.leave()

    assert not yielded


def test_each_process_has_a_seat_of_its_own_until_it_leaves(seats: tuple[Seat, Seat]) -> None:
    third = Seat()
    assert len({seat.number for seat in (*seats, third)}) == 3

    third.leave()
    fourth = Seat()
    fourth.leave()

    assert fourth.number == third.number


def test_what_a_process_tells_is_seen_by_those_forked_with_it(seats: tuple[Seat, Seat]) -> None:
    own, _ = seats
    process = get_context("fork").Process(target=own.tell, args=[3])
    process.start()
    process.join()

    assert BOARD[own.number] == 3


def test_the_seat_of_a_worker_that_has_ended_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    gunicorn = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    worker: Any = SimpleNamespace(pid=0)

    gunicorn["pre_fork"](None, worker)
    number = worker.seat.number
    assert BOARD[number] == 0
    gunicorn["child_exit"](None, worker)

    assert BOARD[number] == NOBODY
