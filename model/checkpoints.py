"""From a folder to a network that answers: the checkpoint found, restored, warm.

What TensorFlow restores does not survive a fork: the first prediction behind it never returns.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.cnn import ConvolutionalNetwork, Member
from model.parts import in_parts
from model.serving import ReleaseUnusable, check_images, release_folder
from model.softmax import CLASSES, PIXELS, SoftmaxRegression
from model.tf import tf

Network = SoftmaxRegression | ConvolutionalNetwork
Floats = NDArray[np.float32]


class RestoredRelease:
    """A restored network. Its `predict` may be called from any number of threads."""

    seconds: float  # as `serving.Release` has it

    def __init__(self, name: str, network: Network) -> None:
        self.name = name
        self.network = network  # keeps the variables alive, which the function only refers to
        self.probabilities = network.probabilities.get_concrete_function()

    def predict(self, images: Floats) -> Floats:
        """As `serving.Release` has it."""
        check_images(images)
        return in_parts(self._predict, images)

    def _predict(self, images: Floats) -> Floats:
        probabilities: Floats = self.probabilities(tf.constant(images)).numpy()
        return probabilities


def restore(release: str) -> RestoredRelease:
    """Read a checkpoint, of TensorFlow 1 or 2, and predict once, so that no caller waits for that.

    Raises ReleaseNotFound or ReleaseUnusable.
    """
    folder = release_folder(release)
    restored = RestoredRelease(folder.name, network_in(folder))
    if not np.isfinite(restored.predict(np.zeros([1, 28, 28, 1], np.float32))).all():
        raise ReleaseUnusable(f"{folder}: its weights are not all finite")
    return restored


def network_in(folder: Path) -> Network:
    """The network whose variables the checkpoint in a folder holds; raises ReleaseUnusable."""
    try:
        reader = tf.train.load_checkpoint(str(checkpoint(folder)))
        return convolutional(reader) if has_kernels(reader) else softmax_regression(reader)
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        raise ReleaseUnusable(f"{folder}: {error}") from error


def has_kernels(reader: Any) -> bool:
    return any(len(shape) == 4 for shape in reader.get_variable_to_shape_map().values())


def softmax_regression(reader: Any) -> SoftmaxRegression:
    """Its variables by their shapes, because their names were up to whoever trained them."""
    return SoftmaxRegression(only(reader, [PIXELS, CLASSES]), only(reader, [CLASSES]))


def convolutional(reader: Any) -> ConvolutionalNetwork:
    """Its variables by the names that `save` gave them."""
    members = range(numbered(reader, "members"))
    return ConvolutionalNetwork([member(reader, f"members/{number}") for number in members])


def member(reader: Any, path: str) -> Member:
    layers = range(numbered(reader, f"{path}/kernels"))
    kernels = [variable(reader, f"{path}/kernels/{layer}") for layer in layers]
    biases = [variable(reader, f"{path}/biases/{layer}") for layer in layers]
    W, b = (variable(reader, f"{path}/{name}") for name in ("W", "b"))
    return Member(kernels, biases, W, b)


def numbered(reader: Any, path: str) -> int:
    """How many there are of what is saved as path/0, path/1 ...; raises ValueError if none."""
    names = reader.get_variable_to_shape_map()
    inside = (name.removeprefix(f"{path}/") for name in names if name.startswith(f"{path}/"))
    count = len({name.split("/")[0] for name in inside})
    if not count:
        raise ValueError(f"{path}/0 was expected; there are: {sorted(names)}")
    return count


def variable(reader: Any, name: str) -> Floats:
    return np.asarray(reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE"), np.float32)


def save(network: ConvolutionalNetwork, folder: Path) -> None:
    """Write trained.ckpt.* into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tf.train.Checkpoint(network).write(str(folder / "trained.ckpt"))


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
