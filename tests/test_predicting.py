"""Where a call is predicted: what takes long must not hold up others."""

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accounts.models import APIKey
from mnistapi.uuid7 import uuid7
from model import litert, serving
from predictions import door
from predictions.calls import OpenCall
from predictions.endpoints import PREDICTIONS
from predictions.images import Sent
from predictions.predicting import SLOW_SECONDS, is_slow
from tests import releases as folders
from tests.calls import filled
from tests.mixed_calls import npy


@pytest.fixture
def predicted_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which the door has calls predicted."""
    threads: list[str] = []
    predict = door.predict

    def noted(calls: list[OpenCall]) -> None:
        threads.append(threading.current_thread().name)
        predict(calls)

    monkeypatch.setattr(door, "predict", noted)
    return threads


@pytest.mark.parametrize(
    ("images", "seconds", "is_aside"),
    [
        (1, 0.9 * SLOW_SECONDS, False),
        (2, 0.9 * SLOW_SECONDS, True),
        (100, 0.009 * SLOW_SECONDS, False),
        (200, 0.009 * SLOW_SECONDS, True),
    ],
)
def test_a_slow_prediction_is_made_aside(
    images: int,
    seconds: float,
    is_aside: bool,
    release: str,
    predicted_by: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(serving.current(), "seconds", seconds)
    call = filled(npy(np.zeros([images, 28, 28], np.uint8)), "application/x-npy")
    assert [name.startswith("large") for name in predicted_by] == [True] * is_aside
    assert (call.prediction is not None) == is_aside


def test_the_release_that_is_asked_for_counts(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(name for name in serving.loaded().by_name if name != release)
    monkeypatch.setattr(serving.current(), "seconds", 0.0)
    monkeypatch.setattr(serving.named(other), "seconds", 1.0)
    call = PREDICTIONS.open(uuid7(), APIKey(), 0)
    call.images, call.release = Sent(np.zeros([1, 28, 28, 1], np.float32), other)
    assert is_slow(call)
    for name in (None, release, "none-1"):
        call.release = name
        assert not is_slow(call)


def test_a_release_knows_how_long_an_image_takes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, clock = litert.ExportedRelease.predict, [0.0]

    def slow(self: litert.ExportedRelease, images: Any) -> Any:
        clock[0] += 0.25 * len(images)
        return predict(self, images)

    monkeypatch.setattr(litert.ExportedRelease, "predict", slow)
    monkeypatch.setattr(serving, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    assert serving.restored(str(folders.add(tmp_path, "a-1")), "litert").seconds == 0.25
