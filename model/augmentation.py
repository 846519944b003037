"""Digits as other hands would have written them, turned, slanted, scaled, moved, bent a little; and
other pens, in strokes of another width."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

ROTATION = 0.2  # radians, the bound either way
SLANT = 0.2
SCALE = 0.15
SHIFT = 2.0  # pixels
BEND = 0.9  # pixels, the standard deviation at each knot
KNOTS = 5  # of the elastic bending, in each direction

STROKE = 0.5  # of a pixel to each side, the standard deviation of what a stroke gains or loses
THINNEST = -0.6
THICKEST = 1.0

CENTRE = 13.5  # of 28 pixels


def augment(images: NDArray[np.uint8], random: np.random.Generator) -> Floats:
    """Each image [28, 28] of n warped by itself: float32 [n, 28, 28, 1] in 0..1."""
    n = len(images)
    pixels = np.mgrid[:28, :28].reshape(2, -1).astype(np.float32) - np.float32(CENTRE)
    places = affine(n, random) @ pixels  # [n, 2, 784]: where each pixel takes its value from
    places += random.uniform(-SHIFT, SHIFT, [n, 2, 1]).astype(np.float32)
    places += bending(n, random) + np.float32(CENTRE)
    return sampled(images, places).reshape(n, 28, 28, 1)


def affine(n: int, random: np.random.Generator) -> Floats:
    """Matrices [n, 2, 2] on (row, column)."""
    angle, slant = random.uniform(-ROTATION, ROTATION, n), random.uniform(-SLANT, SLANT, n)
    scale = 1 + random.uniform(-SCALE, SCALE, [n, 2, 1])
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0)
    slanting = np.tile(np.eye(2), [n, 1, 1])
    slanting[:, 1, 0] = slant
    return (rotation @ slanting * scale).astype(np.float32)


def bending(n: int, random: np.random.Generator) -> Floats:
    """Smooth displacements [n, 2, 784] in pixels, between random ones at KNOTS x KNOTS knots."""
    knots = random.normal(0, BEND, [n, 2, KNOTS, KNOTS]).astype(np.float32)
    weights = between_knots()  # [28, KNOTS]
    return np.asarray(weights @ knots @ weights.T, np.float32).reshape(n, 2, -1)


def between_knots() -> Floats:
    """Row i: how much each knot counts at pixel i; bell curves around the knots, adding up to 1."""
    distance = np.arange(28)[:, None] / 27 * (KNOTS - 1) - np.arange(KNOTS)
    weights = np.exp(-2 * distance**2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def sampled(images: NDArray[np.uint8], places: Floats) -> Floats:
    """Bilinear values [n, 784] in 0..1 of images [n, 28, 28] at places [n, 2, 784]; else paper."""
    n = len(images)
    padded = np.zeros([n, 31, 31], np.float32)  # so that every place has four neighbours
    padded[:, 1:29, 1:29] = images / np.float32(255)
    row, column = np.moveaxis(np.clip(places + 1, 0, 29), 1, 0)  # [n, 784] each
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = row - top, column - left
    first = np.arange(n, dtype=np.int32)[:, None] * 31 * 31 + top * 31 + left
    flat = padded.reshape(-1)
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + 31] * (1 - right) + flat[first + 32] * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def restroked(images: Floats, random: np.random.Generator) -> Floats:
    """Each image of [n, 28, 28, 1] in strokes that are thicker or thinner by a part of a pixel: so
    far on the way to the greatest, or the least, of each pixel and its four neighbours."""
    width = random.normal(0, STROKE, [len(images), 1, 1, 1]).clip(THINNEST, THICKEST)
    width = width.astype(np.float32)
    five = np.stack([images, *neighbours(images)])
    thicker, thinner = five.max(axis=0) - images, images - five.min(axis=0)
    other: Floats = images + np.maximum(width, 0) * thicker + np.minimum(width, 0) * thinner
    return other


def neighbours(images: Floats) -> list[Floats]:
    """What is left, right, above and below of each pixel; paper outside."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [
        padded[:, 1:-1, :-2],
        padded[:, 1:-1, 2:],
        padded[:, :-2, 1:-1],
        padded[:, 2:, 1:-1],
    ]
