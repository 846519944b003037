"""Worker processes that tell each other how many connections they have."""

import gc
import os
import runpy
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn_worker import UvicornWorker

from mnistapi import seats
from mnistapi.seats import BOARD, GIVEN_SECONDS, NOBODY, NOT_SERVING, SEATS, TURNS, Seat
from mnistapi.worker import Worker
from tests.serving import ROOT


@pytest.fixture(autouse=True)
def nobody_else() -> None:
    for number in range(len(BOARD)):
        BOARD[number] = NOBODY


@pytest.fixture
def pair() -> Iterator[tuple[Seat, Seat]]:
    own, other = Seat(), Seat()
    for seat in (own, other):
        seat.tell(0)
    number = other.number
    yield own, other
    own.leave()
    other.number = number
    other.leave()


@pytest.fixture
def yielded(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that other processes were let run."""
    times: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: times.append(None))
    monkeypatch.setattr(seats, "GIVEN_SECONDS", 60)  # this process may be held up, too
    return times


@pytest.mark.parametrize(
    ("own", "other", "times"), [(1, 0, TURNS), (1, 1, 0), (0, 1, 0), (9, 7, TURNS)]
)
def test_who_has_more_connections_than_another_gives_way(
    pair: tuple[Seat, Seat], yielded: list[None], own: int, other: int, times: int
) -> None:
    pair[0].tell(own)
    pair[1].tell(other)

    pair[0].give_way()

    assert len(yielded) == times


def test_who_gives_way_goes_on_once_the_other_has_taken_a_connection(
    pair: tuple[Seat, Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = pair
    own.tell(3)
    monkeypatch.setattr(seats, "GIVEN_SECONDS", 60)
    counts = iter([2, 3, 4])
    monkeypatch.setattr(os, "sched_yield", lambda: other.tell(next(counts)))

    own.give_way()

    assert BOARD[other.number] == 3


def test_who_does_not_serve_yet_or_any_more_is_given_nothing(
    pair: tuple[Seat, Seat], yielded: list[None]
) -> None:
    own, other = pair
    own.tell(9)
    loading = Seat()
    other.tell_no_more()
    other.tell(0)  # as the last of its connections ends

    own.give_way()
    loading.leave()

    assert not yielded


def test_a_process_that_computes_is_given_no_second_turn(
    pair: tuple[Seat, Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = pair
    own.tell(9)
    turns: list[None] = []

    def take_long() -> None:
        turns.append(None)
        time.sleep(2 * GIVEN_SECONDS)

    monkeypatch.setattr(os, "sched_yield", take_long)
    own.give_way()

    assert len(turns) == 1


def test_a_worker_tells_once_it_has_loaded_and_its_connections_are_counted_there(
    pair: tuple[Seat, Seat], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UvicornWorker, "load_wsgi", lambda self: None)
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda objects: None)
    own, _ = pair
    own.tell(NOT_SERVING)
    worker = Worker.__new__(Worker)
    worker.seat, worker.config = own, SimpleNamespace()

    worker.load_wsgi()

    assert BOARD[own.number] == 0
    assert worker.config.http.args == (own,)


def test_who_finds_no_seat_is_not_looked_at(yielded: list[None]) -> None:
    many = [Seat() for _ in range(SEATS + 2)]
    first, *_, late, last = many
    for seat in many[:SEATS]:
        seat.tell(1)
    first.give_way()
    before = len(yielded)
    last.tell(2)
    last.give_way()
    for seat in many:
        seat.leave()

    assert late.number == last.number == SEATS
    assert (before, len(yielded)) == (0, TURNS)


def test_who_is_alone_gives_way_to_nobody(yielded: list[None]) -> None:
    seat = Seat()
    seat.tell(5)

    seat.give_way()
    seat.leave()

    assert not yielded


def test_each_process_has_a_seat_of_its_own_until_it_leaves(pair: tuple[Seat, Seat]) -> None:
    third = Seat()
    assert len({seat.number for seat in (*pair, third)}) == 3

    third.leave()
    fourth = Seat()
    fourth.leave()

    assert fourth.number == third.number


def test_what_a_process_tells_is_seen_by_those_forked_with_it(pair: tuple[Seat, Seat]) -> None:
    own, _ = pair
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
    assert BOARD[number] == NOT_SERVING
    gunicorn["child_exit"](None, worker)

    assert BOARD[number] == NOBODY
