"""Folders of releases for the tests: exports of softmax-1, which load in milliseconds."""

import shutil
from pathlib import Path

import numpy as np

from model import serving_file
from model.serving_file import Choice, Shadow

EXPORT = Path(__file__).resolve().parent.parent / "model/releases/softmax-1/trained.tflite"
# Where the export has its weights, [10, 784] and [10]: test_serving.py says if that is so no more.
WEIGHTS, BIASES = 496, 31_868


def add(folder: Path, name: str, off_by: int = 0) -> Path:
    """A release that takes each digit for the one `off_by` behind it."""
    content = bytearray(EXPORT.read_bytes())
    for start, shape in ((WEIGHTS, (10, 784)), (BIASES, (10,))):
        end = start + 4 * int(np.prod(shape))
        rows = np.frombuffer(bytes(content[start:end]), np.float32).reshape(shape)
        content[start:end] = np.roll(rows, off_by, axis=0).tobytes()
    (folder / name).mkdir(parents=True)
    (folder / name / "trained.tflite").write_bytes(content)
    return folder / name


def add_broken(folder: Path, name: str) -> Path:
    """A release whose export is cut off."""
    broken = add(folder, name) / "trained.tflite"
    broken.write_bytes(broken.read_bytes()[:10_000])
    return broken.parent


def two(folder: Path) -> Path:
    """A folder of two releases, `a-1` and `b-1`, which takes a 3 for a 4; `a-1` is current."""
    add(folder, "a-1")
    add(folder, "b-1", off_by=1)
    choose(folder, "a-1")
    return folder


def choose(folder: Path, current: str, shadow: Shadow | None = None) -> None:
    serving_file.write(folder, Choice(current, shadow))


def remove(folder: Path, name: str) -> None:
    shutil.rmtree(folder / name)
