"""predictions/shadow.py: a candidate is asked, and nobody notices."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnistapi.problems import WRONG_SHAPE, Problem
from model import serving
from model.serving_file import Choice
from model.serving_file import Shadow as Candidate
from predictions.calls import OpenCall, Outcome
from predictions.models import Call
from predictions.settlement import settle
from predictions.shadow import HELD, Shadow, Tally
from tests.calls import opened
from tests.conftest import Holder
from tests.test_settlement import IMAGE, codes, digits_of, releases_of

BLANK = np.zeros_like(IMAGE)


@pytest.fixture
def shadow() -> Shadow:
    """Without its thread: what it has taken stays in the queue."""
    shadow = Shadow()
    shadow.thread = threading.Thread()
    return shadow


@pytest.fixture
def candidate(releases: Path) -> None:
    """`b-1`, which takes a 3 for a 4, is asked about every call beside `a-1`."""
    serving.follow(Choice("a-1", Candidate("b-1", 1)), "litert")


def worked_off(shadow: Shadow) -> Tally:
    while not shadow.answered.empty():
        shadow.compare(shadow.answered.get())
    return shadow.tally


def settled(shadow: Shadow, *calls: OpenCall) -> list[Outcome]:
    outcomes = settle(list(calls))
    shadow.offer(list(calls), outcomes)
    return outcomes


def test_what_the_candidate_answers_otherwise_is_counted_and_given_to_nobody(
    owner: Holder, candidate: None, shadow: Shadow
) -> None:
    images = np.concatenate([IMAGE, IMAGE, BLANK])
    outcomes = settled(shadow, opened(owner, images), opened(owner, BLANK))
    assert worked_off(shadow) == Tally(calls=2, images=4, disagreements=2)
    assert releases_of(outcomes) == ["a-1", "a-1"]
    assert digits_of(outcomes[0]) == [3, 3, None]
    assert set(Call.objects.values_list("release", "units")) == {("a-1", 3), ("a-1", 1)}


def test_only_answers_of_the_current_release_are_compared(
    owner: Holder, candidate: None, shadow: Shadow, monkeypatch: Any
) -> None:
    monkeypatch.setattr("predictions.shadow.MAX_IMAGES", 2)
    refusal = Problem(WRONG_SHAPE, "no image")
    outcomes = settled(
        shadow,
        opened(owner, IMAGE, release="a-1"),
        opened(owner, None, refusal=refusal),
        opened(owner, np.repeat(IMAGE, 3, axis=0)),
    )
    assert codes(outcomes) == ["", "wrong_shape", ""]
    assert shadow.answered.empty()


def test_a_share_of_the_calls_is_compared(
    owner: Holder, releases: Path, shadow: Shadow, monkeypatch: Any
) -> None:
    serving.follow(Choice("a-1", Candidate("b-1", 0.25)), "litert")
    dice = iter([0.24, 0.25, 0.9, 0.0])
    monkeypatch.setattr("predictions.shadow.random.random", lambda: next(dice))
    settled(shadow, *(opened(owner, IMAGE) for _ in range(4)))
    assert worked_off(shadow).calls == 2


def test_without_a_candidate_nothing_is_taken(
    owner: Holder, releases: Path, shadow: Shadow
) -> None:
    serving.load("a-1", "litert")
    settled(shadow, opened(owner, IMAGE))
    assert shadow.answered.empty()


def test_what_it_has_no_room_for_is_dropped_and_holds_nobody_up(
    owner: Holder, candidate: None, shadow: Shadow
) -> None:
    outcomes = settled(shadow, *(opened(owner, IMAGE) for _ in range(HELD + 5)))
    assert set(codes(outcomes)) == {""}
    assert shadow.tally.dropped == 5
    assert worked_off(shadow).calls == HELD


@pytest.mark.parametrize("release", ["b-1", "gone-1"])
def test_a_candidate_that_fails_hurts_nothing_and_is_counted(
    release: str, owner: Holder, candidate: None, shadow: Shadow, monkeypatch: Any
) -> None:
    monkeypatch.setattr(serving.named("b-1"), "predict", lambda images: 1 / 0)
    serving.follow(Choice("a-1", Candidate(release, 1)), "litert")
    outcomes = settled(shadow, opened(owner, IMAGE), opened(owner, IMAGE))
    assert codes(outcomes) == ["", ""]
    assert worked_off(shadow) == Tally(failures=2)


def test_an_offer_that_fails_hurts_nothing(shadow: Shadow, monkeypatch: Any) -> None:
    monkeypatch.setattr(serving, "loaded", lambda: 1 / 0)
    shadow.offer([], [])


def test_the_thread_compares_what_is_offered(
    owner: Holder, candidate: None, monkeypatch: Any
) -> None:
    asked = threading.Event()
    predict = serving.named("b-1").predict
    by: list[str] = []

    def seen(images: Any) -> Any:
        by.append(threading.current_thread().name)
        asked.set()
        return predict(images)

    monkeypatch.setattr(serving.named("b-1"), "predict", seen)
    settled(Shadow(), opened(owner, IMAGE))
    assert asked.wait(10)
    assert by == ["shadow"]
