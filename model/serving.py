"""The release that answers: one a process, loaded once, warm before it is current.

A process calls `load` once, after it was forked, and `current` ever after.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Release(Protocol):
    """A model that answers. Its `predict` may be called from any number of threads."""

    name: str

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, 10] of float32 images [n, 28, 28, 1] in 0..1, paper = 0 and ink = 1."""


class NotLoaded(Exception):
    """No release was loaded in this process."""


_current: Release | None = None


def load(release: str) -> None:
    """Restore a release and make it the current one; calls under way finish with the one they have.

    Raises as `checkpoints.restore` does, and then leaves the current one in place.
    """
    # Not above: TensorFlow takes seconds to import, and commands that never predict import this.
    from model.checkpoints import restore

    global _current
    _current = restore(release)


def current() -> Release:
    """The release loaded last; raises NotLoaded before the first `load` of this process."""
    if _current is None:
        raise NotLoaded("no release is loaded: call model.serving.load first")
    return _current
