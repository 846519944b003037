"""What is around each pixel of a stack of pictures [n, h, w], whole pictures at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def largest_near(values: Array, reach: int) -> Array:
    """The largest of the square of `reach` to all sides of each pixel, where it is on the page."""
    return along(np.maximum, along(np.maximum, values, reach, 1), reach, 2)


def smallest_near(values: Array, reach: int) -> Array:
    return along(np.minimum, along(np.minimum, values, reach, 1), reach, 2)


def largest_beside(values: Array) -> Array:
    """The largest of each pixel and its four neighbours."""
    return np.maximum(along(np.maximum, values, 1, 1), along(np.maximum, values, 1, 2))


def along(extreme: np.ufunc, values: Array, reach: int, axis: int) -> Array:
    """The extreme of those up to `reach` before and behind each; most steps treble what is seen."""
    values = np.moveaxis(values, axis, 0)
    seen, reach = 0, min(reach, len(values) - 1)
    while seen < reach:
        step = min(2 * seen + 1, reach - seen)
        wider = values.copy()
        extreme(wider[step:], values[:-step], out=wider[step:])
        extreme(wider[:-step], values[step:], out=wider[:-step])
        values, seen = wider, seen + step
    return np.moveaxis(values, 0, axis)


def labelled(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """A number for each connected part of each mask, 0 for the rest.

    Pixels are numbered. Each run of a row, then of a column, takes the largest number in it; the
    pixel that had the number of a run before takes the new one too, and each pixel then takes that
    of the pixel whose number it has. So it ends after few turns, however a part winds.
    """
    labels = np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape) * mask
    while True:
        before = labels
        labels = levelled(levelled(labels).swapaxes(1, 2)).swapaxes(1, 2)
        changed = labels != before
        if not changed.any():
            return labels
        numbers = labels.ravel()
        np.maximum.at(numbers, before[changed] - 1, labels[changed])
        labels = numbers[labels - 1] * mask


def levelled(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Each run of a row, as far as no 0 stands between, at the largest of its numbers."""
    flat = np.pad(labels, ((0, 0), (0, 0), (0, 1))).ravel()  # so that a run ends with its row
    starts = np.flatnonzero(np.diff(flat > 0, prepend=flat[:1] == 0))
    lengths = np.diff(starts, append=flat.size)
    runs = np.repeat(np.maximum.reduceat(flat, starts), lengths)
    return runs.reshape(*labels.shape[:2], -1)[:, :, :-1]
