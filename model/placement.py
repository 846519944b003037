"""Strokes on a page, brought to the size, the width and the place that MNIST gives them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.neighbourhoods import largest_beside, largest_near

Floats = NDArray[np.float32]
Array = NDArray[Any]

SIDE = 28
DIGIT = 20  # the longer side of a digit
CENTRE = 14.5  # where MNIST's digits have their centre of mass, on the average
FINE = 3  # a digit is drawn so many times finer, and then averaged

SURE = 0.5  # of the full ink: what has less is the edge of a stroke
THIN, USUAL = 1.6, 2.2  # pixels: strokes that are thinner become as wide as is usual
MAX_GROWTH = 4  # fine pixels


def placed(strokes: Floats) -> Floats:
    """[n, 28, 28] of [n, h, w], each with some ink: 20 long, the centre of mass in the middle.

    Strokes that would be too thin are drawn wider.
    """
    longer = longer_side(strokes)
    growth = missing_width(strokes, longer)
    scale = (FINE * DIGIT - 2 * growth) / longer
    fine = thickened(resampled(strokes, scale.astype(np.float32)), growth)
    images = fine.reshape(-1, SIDE, FINE, SIDE, FINE).mean(axis=(2, 4))
    return np.asarray(images / images.max(axis=(1, 2), keepdims=True))


def is_in_place(ink: Floats) -> NDArray[np.bool_]:
    """Whether a picture is what it is to become: 28 x 28, the digit 20 long, in the middle."""
    if ink.shape[1:] != (SIDE, SIDE):
        return np.zeros(len(ink), bool)
    down, across = centre_of_mass(ink)
    off = np.maximum(abs(down - CENTRE), abs(across - CENTRE))
    return np.asarray((abs(longer_side(ink) - DIGIT) <= 1) & (off <= 1))


def longer_side(ink: Floats) -> Array:
    """Of the box around the ink of each picture, in pixels: [n]."""
    has_ink = ink > 0
    return np.maximum(extent(has_ink, across=2), extent(has_ink, across=1))


def extent(has_ink: Array, across: int) -> Array:
    """How many lines there are from the first with ink to the last: [n]."""
    lines = np.asarray(has_ink.any(axis=across))
    return np.asarray(lines.shape[1] - lines[:, ::-1].argmax(axis=1) - lines.argmax(axis=1))


def centre_of_mass(ink: Floats) -> tuple[Array, Array]:
    """Down and across, in pixels, [n] each; the first pixel has its middle at 0.5."""
    mass = np.maximum(ink.sum(axis=(1, 2)), np.float32(1e-6))
    return moment(ink.sum(axis=2)) / mass, moment(ink.sum(axis=1)) / mass


def moment(masses: Array) -> Array:
    return np.asarray((masses * (np.arange(masses.shape[1]) + 0.5)).sum(axis=1))


def missing_width(strokes: Floats, longer: Array) -> Array:
    """By how many fine pixels strokes that are thin have to grow on each side: [n]."""
    sure = np.pad(np.asarray(strokes > SURE), ((0, 0), (1, 1), (1, 1)))
    edges = [np.diff(sure, axis=axis).sum(axis=(1, 2)) for axis in (1, 2)]
    length = np.maximum((edges[0] + edges[1]) * (np.pi / 8), 1)  # half of an outline of all angles
    width = sure.sum(axis=(1, 2)) / length * DIGIT / longer
    growth = np.rint((USUAL - width) / 2 * FINE).clip(0, MAX_GROWTH)
    return np.where(width < THIN, growth, 0).astype(int)


def resampled(strokes: Floats, scale: Floats) -> Floats:
    """[n, 84, 84]: scaled by averaging areas, with the centre of mass in the middle."""
    down, across = centre_of_mass(strokes)
    lines = shrunk(strokes, down, scale)
    return np.asarray(shrunk(lines.swapaxes(1, 2), across, scale).swapaxes(1, 2), np.float32)


def shrunk(values: Array, centre: Array, scale: Floats) -> Array:
    """[n, 84, w] of [n, h, w]: each fine pixel is the mean of what it covers.

    One that is smaller than a pixel is that of a pixel's height around it, which is linear
    interpolation.
    """
    places = np.arange(SIDE * FINE) + (0.5 - CENTRE * FINE)
    middle = centre[:, None] + places / scale[:, None]
    half = np.maximum(1 / scale[:, None], 1) / 2
    sums = np.pad(values.cumsum(axis=1, dtype=np.float64), ((0, 0), (1, 0), (0, 0)))
    covered = between(sums, middle + half) - between(sums, middle - half)
    return np.asarray(covered / (2 * half[:, :, None]))


def between(sums: Array, places: Array) -> Array:
    """The running sums [n, h + 1, w] up to these places [n, m], which need not be whole."""
    places = places.clip(0, sums.shape[1] - 1)
    below = np.minimum(places.astype(int), sums.shape[1] - 2)
    low, high = (np.take_along_axis(sums, at[:, :, None], axis=1) for at in (below, below + 1))
    return np.asarray(low + (high - low) * (places - below)[:, :, None])


def thickened(fine: Array, growth: Array) -> Array:
    """Each stroke wider by `growth` pixels on each side, its corners round."""
    for step in range(growth.max()):
        wider = largest_near(fine, 1) if step % 2 else largest_beside(fine)
        fine = np.where((growth > step)[:, None, None], wider, fine)
    return fine
