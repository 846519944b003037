"""Where a call is predicted: what takes long must not hold up others."""

import asyncio
import io
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
from predictions.door import Door
from predictions.endpoints import PREDICTIONS, Head
from predictions.images import Sent
from predictions.predicting import SLOW_SECONDS, is_slow
from tests import releases as folders


def npy(images: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros([images, 28, 28], np.uint8))
    return file.getvalue()


def opened() -> OpenCall:
    return OpenCall(uuid7(), APIKey(), 0, lambda receipt: b"")


def filled(body: bytes) -> OpenCall:
    """A call with this array, as far as the door takes it before it is settled."""

    async def nobody(*args: Any) -> None: ...

    async def receive() -> dict[str, Any]:
        return {"body": body}

    call = opened()
    head = Head("application/x-npy", str(len(body)), "", None)
    asyncio.run(Door(nobody).fill(call, PREDICTIONS, head, receive))
    assert call.refusal is None
    assert call.images is not None
    return call


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
    call = filled(npy(images))
    assert [name.startswith("large") for name in predicted_by] == [True] * is_aside
    assert (call.prediction is not None) == is_aside


def test_the_release_that_is_asked_for_counts(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(name for name in serving.loaded().by_name if name != release)
    monkeypatch.setattr(serving.current(), "seconds", 0.0)
    monkeypatch.setattr(serving.named(other), "seconds", 1.0)
    call = opened()
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
