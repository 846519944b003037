"""Calls as a door opens them, without one."""

import time
from typing import Any

import numpy as np

from mnistapi.uuid7 import uuid7
from predictions import idempotency
from predictions.calls import OpenCall
from predictions.endpoints import PREDICTIONS
from predictions.images import SIDE, Images
from tests.conftest import Holder


def opened(of: Holder, images: Images | int | None = 1, retry: str = "", **more: Any) -> OpenCall:
    """A call with these images, or with so many that are blank; `retry` is its Idempotency-Key.

    As a body it has the bytes of its images.
    """
    if isinstance(images, int):
        images = np.zeros((images, SIDE, SIDE, 1), np.float32)
    call = PREDICTIONS.open(uuid7(), of.row, time.perf_counter())
    call.images = images
    if retry:
        body = b"" if images is None else images.tobytes()
        call.retry = idempotency.retry(retry, PREDICTIONS.path, "application/json", body)
    for name, value in more.items():
        setattr(call, name, value)
    return call
