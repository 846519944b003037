"""Make the release capitals-1: `python -m model.capitals`.

The letters are drawn with fonts that packages carry, some to train on and others to test on, and
brought to 28 x 28 by what the product does to every picture. The network is softmax regression.
"""

import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from model import card, export, fonts, latency, litert, serving
from model.checkpoints import restore
from model.data import Digits, scaled
from model.labels import LABELS
from model.normalisation import normalise
from model.softmax import training_graph
from model.tf import tf
from model.train_softmax import batches, descend

NAME = "capitals-1"
SEED = 26
STEPS = 6_000
LEARNING_RATE = 0.2
TRAIN = ("font_lato", "font_source_sans_pro", "font_source_serif_pro", "font_amatic_sc")
TEST = ("font_manrope", "font_hanken_grotesk", "font_caladea", "font_fjallaone")
TRAIN_EACH, TEST_EACH = 400, 60  # images of each letter


def drawn(packages: tuple[str, ...], each: int, seed: int) -> Digits:
    """`each` images of every letter, in a random order, each of some face and at some angle."""
    random = np.random.default_rng(seed)
    faces = fonts.faces(*packages)
    labels = random.permutation(np.repeat(np.arange(len(LABELS), dtype=np.uint8), each))
    which, angles = random.choice(len(faces), len(labels)), random.uniform(-10, 10, len(labels))
    letters = zip(which, labels, angles, strict=True)
    pictures = [fonts.letter(faces[face], LABELS[label], angle) for face, label, angle in letters]
    images = normalise(255 - np.stack(pictures), "dark")
    return Digits(np.rint(images * 255).astype(np.uint8), labels)


def train_and_save(letters: Digits, folder: Path) -> None:
    net = training_graph(LEARNING_RATE)
    with tf.compat.v1.Session(graph=net.graph) as session:
        session.run(net.initialise)
        descend(session, net, batches(letters), STEPS)
        folder.mkdir(parents=True, exist_ok=True)
        net.saver.save(session, str(folder / "trained.ckpt"))


def measured(folder: Path, train: Digits, test: Digits) -> card.Card:
    one, other = restore(str(folder)), litert.restore(str(folder))
    return {
        "name": folder.name,
        "date": datetime.now(UTC).date().isoformat(),
        "network": {**one.network.about(), "labels": LABELS},
        "data": {
            "source": "capital letters of fonts",
            "train": {"images": len(train.labels), "sha256": train.sha256()},
            "test": {"images": len(test.labels), "sha256": test.sha256()},
        },
        "training": {"seed": SEED, "steps": STEPS, "learning_rate": LEARNING_RATE},
        **card.of_digits(other.predict(scaled(test.images)), test),
        "runtimes": {
            "greatest_difference": export.greatest_difference(one, other, test),
            "milliseconds_an_image": latency.milliseconds({"tensorflow": one, "litert": other}),
            "bytes": card.sizes(folder),
        },
        "versions": {"python": platform.python_version()}
        | {package: card.package(package) for package in card.PACKAGES},
    }


def main() -> None:
    folder = serving.RELEASES / NAME
    train, test = drawn(TRAIN, TRAIN_EACH, SEED), drawn(TEST, TEST_EACH, SEED + 1)
    train_and_save(train, folder)
    export.export(folder, test)
    card.write(folder, measured(folder, train, test))


if __name__ == "__main__":
    main()
