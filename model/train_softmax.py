"""Train the softmax regression of the blog post on all of MNIST.

As the post does: gradient descent in a TensorFlow 1 session, minibatches of 100, a checkpoint by
`Saver`. The post stopped after 1,000 steps; here their number is chosen on images held out from
the training set.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import data
from model.data import Digits
from model.softmax import PIXELS, TrainingGraph, training_graph
from model.tf import tf

SEED = 2017
BATCH = 100
LEARNING_RATE = 0.5
CANDIDATES = range(1_000, 20_001, 1_000)  # numbers of steps to choose from
FITTED = 50_000  # of the 60,000; the last 10,000 are held out for the choice

Batch = tuple[NDArray[np.float32], NDArray[np.uint8]]  # x [100, 784] and y [100]


def choose_steps(train: Digits) -> dict[int, float]:
    """Accuracy on the images held out, after each number of steps; the best is the one to take."""
    fitted, held_out = train.part(0, FITTED), train.part(FITTED, len(train.labels))
    net = training_graph(LEARNING_RATE)
    stream = batches(fitted)
    curve = {}
    with tf.compat.v1.Session(graph=net.graph) as session:
        session.run(net.initialise)
        for steps in CANDIDATES:
            descend(session, net, stream, CANDIDATES.step)
            everything = {net.x: flat(held_out.images), net.y: held_out.labels}
            curve[steps] = float(session.run(net.accuracy, everything))
    return curve


def train_and_save(train: Digits, steps: int, folder: Path) -> None:
    """Write trained.ckpt.* and TensorFlow's `checkpoint` into the folder."""
    net = training_graph(LEARNING_RATE)
    with tf.compat.v1.Session(graph=net.graph) as session:
        session.run(net.initialise)
        descend(session, net, batches(train), steps)
        folder.mkdir(parents=True, exist_ok=True)
        net.saver.save(session, str(folder / "trained.ckpt"))


def descend(session: Any, net: TrainingGraph, stream: Iterator[Batch], steps: int) -> None:
    for _ in range(steps):
        x, y = next(stream)
        session.run(net.descend, {net.x: x, net.y: y})


def batches(digits: Digits) -> Iterator[Batch]:
    """Endless minibatches, each pass over the images in a new order that follows from SEED."""
    random = np.random.default_rng(SEED)
    while True:
        order = random.permutation(len(digits.labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            yield flat(digits.images[chosen]), digits.labels[chosen]


def flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return data.scaled(images).reshape(-1, PIXELS)


def make(train: Digits, folder: Path, steps: int | None) -> dict[str, Any]:
    """Choose the number of steps, unless it is given, train and save; gives what a card tells."""
    chosen = "by hand"
    if steps is None:
        curve = choose_steps(train)
        steps = max(curve, key=lambda candidate: curve[candidate])
        chosen = (
            f"best of {CANDIDATES.start:,}, {CANDIDATES[1]:,} ... {CANDIDATES[-1]:,} on the last "
            f"{len(train.labels) - FITTED:,} training images, held out: {curve[steps]:.2%}"
        )
    train_and_save(train, steps, folder)
    return {
        "seed": SEED,
        "steps": steps,
        "steps_chosen": chosen,
        "batch_size": BATCH,
        "learning_rate": LEARNING_RATE,
    }
