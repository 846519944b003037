"""The card of a release, measured anew: `python -m model.card RELEASE` writes its card.json.

What the training has told of itself is kept; everything else is measured, on one thread, with the
test set, with images that are not digits, and with both runtimes. The card holds all that a page
about the release shows, down to the pixels of the digits that it finds hardest.
"""

import argparse
import base64
import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import checkpoints, data, export, latency, litert, measurements, serving, strangers
from model.data import Digits, Mnist
from model.labels import LABELS, reasons
from model.measurements import REJECTED, Hard
from model.tf import tf

HARDEST = 24
SURE = 0.9  # an answer of such confidence to what is no digit is a bad one
PACKAGES = ("ai-edge-litert", "numpy", "tensorflow")

Card = dict[str, Any]
Floats = NDArray[np.float32]


def card(folder: Path, mnist: Mnist, training: Card, each: int) -> Card:
    """Measure the release in a folder; raises ReleaseUnusable, DataMissing or ImportError.

    `training` is taken as it is, how the weights came about; `each` images that are no digits are
    taken from each source.
    """
    one, other = checkpoints.restore(str(folder)), litert.restore(str(folder))
    probabilities = other.predict(data.scaled(mnist.test.images))
    return {
        "name": folder.name,
        "date": datetime.now(UTC).date().isoformat(),
        "network": {**one.network.about(), "labels": LABELS},
        "data": {
            "source": data.SOURCE,
            "train": {"images": len(mnist.train.labels), "sha256": mnist.train.sha256()},
            "test": {"images": len(mnist.test.labels), "sha256": mnist.test.sha256()},
        },
        "training": training,
        **of_digits(probabilities, mnist.test),
        "rejection": rejections(other, strangers.strangers(mnist.test, each)),
        "runtimes": {
            "greatest_difference": export.greatest_difference(one, other, mnist.test),
            "milliseconds_an_image": latency.milliseconds({"tensorflow": one, "litert": other}),
            "bytes": sizes(folder),
        },
        "versions": {"python": platform.python_version()} | {p: package(p) for p in PACKAGES},
    }


def of_digits(probabilities: Floats, test: Digits) -> Card:
    """What the answers to the test set say."""
    confusion = measurements.confusion(probabilities, test.labels)
    right, total = int(confusion.trace()), int(confusion.sum())
    bins = measurements.calibration(probabilities, test.labels)
    return {
        "accuracy": {
            "right": right,
            "total": total,
            "share": right / total,
            "interval": list(measurements.wilson(right, total)),
            "rejected": int(confusion[:, REJECTED].sum()),
        },
        "confusion": confusion.tolist(),
        "calibration": {
            "expected_error": measurements.expected_calibration_error(bins),
            "bins": [asdict(b) for b in bins],
        },
        "hardest": [
            drawn(hard, test) for hard in measurements.hardest(probabilities, test.labels, HARDEST)
        ],
    }


def drawn(hard: Hard, test: Digits) -> Card:
    """Its answer is null where it was rejected; its pixels are 28 rows of 28 bytes in base64."""
    pixels = base64.b64encode(test.images[hard.index].tobytes()).decode()
    answer = None if hard.answer == REJECTED else hard.answer
    return {**asdict(hard), "answer": answer, "pixels": pixels}


def rejections(release: serving.Release, images_of: dict[str, Floats]) -> list[Card]:
    """For each source of images that are not digits: to how many the product names no digit."""
    return [
        {"source": source, **rejection(images, release.predict(images))}
        for source, images in images_of.items()
    ]


def rejection(images: Floats, probabilities: Floats) -> Card:
    answered = np.array([reason is None for reason in reasons(images, probabilities)])
    return {
        "images": len(images),
        "rejected": int((~answered).sum()),
        "sure_of_a_digit": int((answered & (probabilities.max(axis=1) >= SURE)).sum()),
    }


def sizes(folder: Path) -> dict[str, int]:
    files = [*folder.glob("*.ckpt.data-*"), *folder.glob("*.ckpt.index")]
    return {
        "tensorflow": sum(file.stat().st_size for file in files),
        "litert": litert.export_in(folder).stat().st_size,
    }


def package(name: str) -> str:
    """Its version; TensorFlow has another name on some platforms."""
    return str(tf.__version__) if name == "tensorflow" else version(name)


def write(folder: Path, content: Card) -> None:
    (folder / "card.json").write_text(json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Card:
    """Raises ReleaseUnusable."""
    try:
        content: Card = json.loads((folder / "card.json").read_text())
    except (OSError, ValueError) as error:
        raise serving.ReleaseUnusable(f"{folder}: {error}") from error
    return content


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.card", description=__doc__)
    parser.add_argument("release", help="a name under model/releases, or a folder")
    try:
        folder = serving.release_folder(parser.parse_args().release)
        write(folder, card(folder, data.load(), read(folder)["training"], strangers.EACH))
    except (serving.ReleaseNotFound, serving.ReleaseUnusable, data.DataMissing) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
