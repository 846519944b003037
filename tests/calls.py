"""Calls as a door opens them, without one."""

import asyncio
import time
from typing import Any

import numpy as np

from accounts.models import APIKey
from mnistapi.uuid7 import uuid7
from predictions import idempotency
from predictions.calls import OpenCall
from predictions.door import Door
from predictions.endpoints import PREDICTIONS, Head
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


def filled(body: bytes, content_type: str) -> OpenCall:
    """A call of nobody's, as far as the door takes it before it is settled."""

    async def nobody(*args: Any) -> None: ...

    async def receive() -> dict[str, Any]:
        return {"body": body}

    call = PREDICTIONS.open(uuid7(), APIKey(), 0)
    head = Head(content_type, str(len(body)), "", None)
    asyncio.run(Door(nobody).fill(call, PREDICTIONS, head, receive))
    assert call.refusal is None
    return call
