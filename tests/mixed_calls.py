"""The calls of a month: in every form, some of them wrong, each in one of the ways to be wrong."""

import json
import random
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np


class Request(NamedTuple):
    """A call: how its body is sent, where to, and the code of the problem that it meets."""

    body: bytes
    problem: str = ""
    path: str = "/v1/predictions"
    content_type: str = "application/json"


def npy(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


CALLS, FAILING = 1_505, 37
BLANK = [0] * 784
ANSWERED = [
    Request(json.dumps(BLANK).encode()),
    Request(json.dumps({"image": [[0.5] * 28] * 28, "ink": "light"}).encode()),
    Request(npy(np.zeros((1, 28, 28), np.uint8)), content_type="application/x-npy"),
    Request(json.dumps(BLANK).encode(), path="/"),
]
OF_TWO_IMAGES = [Request(json.dumps([BLANK, BLANK]).encode())]
REFUSED = [
    Request(b"[0, 1", "malformed_json"),
    Request(json.dumps(BLANK[1:]).encode(), "wrong_shape"),
    Request(json.dumps([*BLANK[1:], 256]).encode(), "pixel_out_of_range"),
    Request(json.dumps({"image": BLANK, "colour": "red"}).encode(), "unknown_field"),
    Request(b"not an array", "malformed_npy", content_type="application/x-npy"),
    Request(b"three", "unsupported_media_type", content_type="text/plain"),
    Request(b"{}", "wrong_shape", path="/"),
]


def mixed(answered: list[Request]) -> list[Request]:
    """1,505 calls, 37 of which fail."""
    calls = [answered[number % len(answered)] for number in range(CALLS - FAILING)]
    calls += [REFUSED[number % len(REFUSED)] for number in range(FAILING)]
    random.Random(4).shuffle(calls)
    return calls
