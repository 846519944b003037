"""From a folder to a network that answers: the checkpoint found, restored, warm.

What TensorFlow restores does not survive a fork: the first prediction behind it never returns.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.network import DIGITS, PIXELS, SoftmaxRegression
from model.serving import ReleaseUnusable, check_images, release_folder
from model.tf import tf


class RestoredRelease:
    """A restored network. Its `predict` may be called from any number of threads."""

    def __init__(self, name: str, network: SoftmaxRegression) -> None:
        self.name = name
        self.network = network  # keeps the variables alive, which the function only refers to
        self.probabilities = network.probabilities.get_concrete_function()

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """As `serving.Release` has it."""
        check_images(images)
        probabilities: NDArray[np.float32] = self.probabilities(tf.constant(images)).numpy()
        return probabilities


def restore(release: str) -> RestoredRelease:
    """Read a checkpoint, of TensorFlow 1 or 2, and predict once, so that no caller waits for that.

    Raises ReleaseNotFound or ReleaseUnusable.
    """
    folder = release_folder(release)
    restored = RestoredRelease(folder.name, SoftmaxRegression(*weights(folder)))
    if not np.isfinite(restored.predict(np.zeros([1, 28, 28, 1], np.float32))).all():
        raise ReleaseUnusable(f"{folder}: its weights are not all finite")
    return restored


def weights(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """W [784, 10] and b [10] of the checkpoint in a folder; raises ReleaseUnusable.

    By their shapes, because their names were up to whoever trained them.
    """
    try:
        reader = tf.train.load_checkpoint(str(checkpoint(folder)))
        return only(reader, [PIXELS, DIGITS]), only(reader, [DIGITS])
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        raise ReleaseUnusable(f"{folder}: {error}") from error


def checkpoint(folder: Path) -> Path:
    """The prefix of the one checkpoint in a folder; raises ValueError.

    Not from the `checkpoint` file beside it, which may name a folder of the machine that trained.
    """
    indices = list(folder.glob("*.index"))
    if len(indices) != 1:
        raise ValueError(f"one checkpoint (*.index) was expected, there are {len(indices)}")
    return indices[0].with_suffix("")


def only(reader: Any, shape: list[int]) -> NDArray[np.float32]:
    """The one variable of a checkpoint that has this shape; raises ValueError."""
    shapes: dict[str, list[int]] = reader.get_variable_to_shape_map()
    names = [name for name in shapes if shapes[name] == shape]
    if len(names) != 1:
        raise ValueError(f"one variable of shape {shape} was expected; there are: {shapes}")
    return np.asarray(reader.get_tensor(names[0]), np.float32)
