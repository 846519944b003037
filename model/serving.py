"""The release that answers: found by name, loaded once a process, warm before it is current.

A process calls `load` once, after it was forked, and `current` ever after.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RELEASES = Path(__file__).parent / "releases"
RUNTIMES = ("tensorflow", "litert")


class ReleaseNotFound(Exception):
    """No release has that name, and no folder that path."""


class ReleaseUnusable(Exception):
    """The folder is there, but not one checkpoint, or one export, of a network that answers."""


class NotLoaded(Exception):
    """No release was loaded in this process."""


class Release(Protocol):
    """A model that answers. Its `predict` may be called from any number of threads."""

    name: str

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, 10] of float32 images [n, 28, 28, 1] in 0..1, paper = 0 and ink = 1.

        Raises ValueError for another shape or type; the range is for the caller to see to.
        """


_current: Release | None = None


def load(release: str, runtime: str = "tensorflow") -> None:
    """Restore a release and make it the current one; calls under way finish with the one they have.

    Raises ReleaseNotFound or ReleaseUnusable, and then leaves the current one in place.
    """
    global _current
    _current = restored(release, runtime)


def restored(release: str, runtime: str) -> Release:
    """By `tensorflow` from the checkpoint, by `litert` from its export; raises ValueError."""
    # Imported here: TensorFlow takes seconds, and most commands and the other runtime need none.
    if runtime == "tensorflow":
        from model import checkpoints

        return checkpoints.restore(release)
    if runtime == "litert":
        from model import litert

        return litert.restore(release)
    raise ValueError(f"{runtime!r} is no runtime; there are {', '.join(RUNTIMES)}")


def current() -> Release:
    """The release loaded last; raises NotLoaded before the first `load` of this process."""
    if _current is None:
        raise NotLoaded("no release is loaded: call model.serving.load first")
    return _current


def release_folder(release: str) -> Path:
    """The folder of a release: its name under model/releases, or the path of a folder.

    Raises ReleaseNotFound. Any folder will do: pass what an operator wrote, not what a caller sent.
    """
    named = {folder.name: folder for folder in RELEASES.glob("*/")}
    if release in named:
        return named[release]
    if release and Path(release).is_dir():
        return Path(release).resolve()
    known = ", ".join(sorted(named)) or "none"
    raise ReleaseNotFound(f"{release!r} is no release (there is: {known}) and no folder")


def check_images(images: NDArray[np.float32]) -> None:
    """Raises ValueError unless they are float32 [n, 28, 28, 1]: a runtime may take other shapes."""
    if images.shape[1:] != (28, 28, 1) or images.dtype != np.float32:
        raise ValueError(f"not float32 [n, 28, 28, 1]: {images.dtype} {list(images.shape)}")
