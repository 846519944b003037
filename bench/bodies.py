"""What is sent: one digit, dark ink on light paper, alone or many times over."""

import io
import json

import numpy as np

from bench.load import Request
from tests.serving import ROOT

DIGIT, INK = 3, json.loads((ROOT / "mnistapi/static/mnistapi/digit.json").read_text())
IMAGE: list[int] = [255 - ink for ink in INK]
BATCH = 100
LARGE_BATCH = 1600  # 10 MB, at 8 bytes a pixel


def as_json(path: str, value: object, **headers: str) -> Request:
    """Written as Python's json and most clients write it, with a space behind each comma."""
    body = json.dumps(value).encode()
    return Request(path, body, {"Content-Type": "application/json", **headers})


def as_npy(path: str, images: int, type: str, **headers: str) -> Request:
    """An array [images, 28, 28] in NumPy's own format."""
    file = io.BytesIO()
    np.save(file, np.tile(np.array(IMAGE, type).reshape(1, 28, 28), (images, 1, 1)))
    return Request(path, file.getvalue(), {"Content-Type": "application/x-npy", **headers})
