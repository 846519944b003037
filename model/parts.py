"""A network asked about many images at once, in memory that does not grow with their number."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from model.labels import LABELS

Floats = NDArray[np.float32]

AT_ONCE = 128  # of a convolution's images; more of them make it no faster


def in_parts(predict: Callable[[Floats], Floats], images: Floats) -> Floats:
    """The answers [n, 10] of `predict`, which is given at most AT_ONCE of the images at a time."""
    if not len(images):  # which not every network takes
        return np.empty([0, len(LABELS)], np.float32)
    if len(images) <= AT_ONCE:
        return predict(images)
    parts = range(0, len(images), AT_ONCE)
    return np.concatenate([predict(images[start : start + AT_ONCE]) for start in parts])
