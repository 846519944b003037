"""Images that are not digits, to train on; those that a release is tested with come from elsewhere.

Drawn by code, and letters of some fonts, all of them [28, 28], paper 0 and ink 255. What is drawn
is brought to the form of MNIST; noise, textures and inverted pictures fill the frame.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model import fonts
from model.data import Digits

Bytes = NDArray[np.uint8]
Source = Callable[[Digits, np.random.Generator], Bytes]

FONTS = (
    *("font_source_sans_pro", "font_source_serif_pro", "font_lato"),
    *("font_amatic_sc", "font_fredoka_one"),
)
SIDE = 64  # of the square that is drawn on, before it is made small


def outliers(n: int, digits: Digits, random: np.random.Generator) -> Bytes:
    """[n, 28, 28], from the SOURCES in their shares; some are made of the digits."""
    sources, shares = zip(*SOURCES.items(), strict=True)
    chosen = random.choice(len(sources), n, p=shares)
    return np.stack([sources[i](digits, random) for i in chosen])


def mnist_form(picture: Bytes) -> Bytes:
    """A drawing of any size: its ink scaled to fit 20 x 20, its centre of mass in the middle.

    The digits that a network is asked about are brought to that form by `model.normalisation`;
    this is what it comes to for a drawing without noise, and stays as it is, so that a training can
    be repeated.
    """
    ys, xs = np.nonzero(picture > 40)
    if not len(ys):
        return np.zeros([28, 28], np.uint8)
    ink = picture[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    height, width = np.maximum(1, np.rint(20 * np.array(ink.shape) / max(ink.shape)).astype(int))
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX), float)
    small *= 255 / max(1, small.max())
    row = 14 - (small.sum(1) @ np.arange(0.5, height)) / small.sum()
    column = 14 - (small.sum(0) @ np.arange(0.5, width)) / small.sum()
    top, left = (int(np.clip(round(x), 0, 28 - s)) for x, s in ((row, height), (column, width)))
    form = np.zeros([28, 28], np.uint8)
    form[top : top + height, left : left + width] = small
    return form


@cache
def faces() -> list[Path]:
    return fonts.faces(*FONTS)


def letter(digits: Digits, random: np.random.Generator) -> Bytes:
    face = faces()[random.integers(len(faces()))]
    character = fonts.LETTERS[random.integers(len(fonts.LETTERS))]
    return mnist_form(fonts.letter(face, character, random.uniform(-15, 15)))


def two_digits(digits: Digits, random: np.random.Generator) -> Bytes:
    """Side by side, a little apart or touching."""
    left, right = (digits.images[i] for i in random.integers(len(digits.images), size=2))
    left, right = (x[:, x.any(axis=0)] for x in (left, right))
    return mnist_form(np.hstack([left, np.zeros([28, random.integers(5)], np.uint8), right]))


def inverted(digits: Digits, random: np.random.Generator) -> Bytes:
    return np.asarray(255 - digits.images[random.integers(len(digits.images))])


def scribble(digits: Digits, random: np.random.Generator) -> Bytes:
    """A pen that wanders through a number of points in curves, never lifted."""
    points = random.uniform(4, SIDE - 4, [random.integers(5, 13), 2])
    curve = np.concatenate([bezier(points[i : i + 3]) for i in range(0, len(points) - 2, 2)])
    picture = Image.new("L", (SIDE, SIDE))
    width = int(random.integers(3, 9))
    ImageDraw.Draw(picture).line([tuple(p) for p in curve], 255, width, "curve")
    return mnist_form(np.asarray(picture))


def bezier(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """16 places [16, 2] on the curve from the first of three points to the last."""
    t = np.linspace(0, 1, 16)[:, None]
    return np.asarray((1 - t) ** 2 * points[0] + 2 * t * (1 - t) * points[1] + t**2 * points[2])


def strokes(digits: Digits, random: np.random.Generator) -> Bytes:
    """Three to seven straight lines."""
    picture = Image.new("L", (SIDE, SIDE))
    draw, width = ImageDraw.Draw(picture), int(random.integers(3, 9))
    for _ in range(random.integers(3, 8)):
        draw.line([tuple(p) for p in random.uniform(4, SIDE - 4, [2, 2])], 255, width)
    return mnist_form(np.asarray(picture))


def doodle(digits: Digits, random: np.random.Generator) -> Bytes:
    """Three to six arcs and lines across each other, of one pen."""
    picture = Image.new("L", (SIDE, SIDE))
    draw, width = ImageDraw.Draw(picture), int(random.integers(3, 8))
    for _ in range(random.integers(3, 7)):
        centre, reach = random.uniform(16, SIDE - 16, 2), random.uniform(6, 26, 2)
        if random.random() < 0.5:
            start, turn = random.uniform(0, 360), random.choice([90, 180, 360])
            draw.arc([*(centre - reach), *(centre + reach)], start, start + turn, 255, width)
        else:
            reach *= random.choice([-1, 1], 2)
            draw.line([*(centre - reach), *(centre + reach)], 255, width)
    return mnist_form(np.asarray(picture))


def polygon(digits: Digits, random: np.random.Generator) -> Bytes:
    """Three to eight corners around a centre: an outline, or filled, plain or with a texture."""
    corners = random.integers(3, 9)
    angle = (np.arange(corners) + random.uniform(-0.3, 0.3, corners)) * 2 * np.pi / corners
    radius = random.uniform(12, 30, corners)
    places = [tuple(p) for p in np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None] + 32]
    picture = Image.new("L", (SIDE, SIDE))
    if random.random() < 0.3 and corners < 6:  # rounder outlines look like zeros
        ImageDraw.Draw(picture).polygon(places, None, 255, int(random.integers(3, 8)))
        return mnist_form(np.asarray(picture))
    ImageDraw.Draw(picture).polygon(places, 255)
    filled = np.asarray(picture, float)
    if random.random() < 0.7:
        filled *= 0.2 + 0.8 * waves(SIDE, random)
    return mnist_form(filled.astype(np.uint8))


def texture(digits: Digits, random: np.random.Generator) -> Bytes:
    """Waves in all directions, in grey or in black and white, in the frame or in its middle."""
    values = waves(28, random)
    if random.random() < 0.5:
        values = (values > random.uniform(0.3, 0.7)).astype(float)
    return framed(values, random)


def waves(side: int, random: np.random.Generator) -> NDArray[np.float64]:
    """A sum of four waves, [side, side] in 0..1."""
    direction, phase = random.normal(0, random.uniform(2, 20), [4, 2]), random.uniform(0, 7, 4)
    y, x = np.mgrid[:side, :side] / side
    total = sum(np.sin(a * y + b * x + c) for (a, b), c in zip(direction, phase, strict=True))
    return np.asarray((total - np.min(total)) / (np.ptp(total) + 1e-9))


def scenery(digits: Digits, random: np.random.Generator) -> Bytes:
    """Leaves of all sizes and greys that hide each other, as things do in photographs: all of it,
    or what is dark in it as if that were ink."""
    picture = Image.new("L", (SIDE, SIDE), int(random.integers(256)))
    draw = ImageDraw.Draw(picture)
    for radius in SIDE * random.uniform(0.2, 1, [random.integers(5, 40), 1]) ** 3:
        centre, shape = random.uniform(0, SIDE, 2), random.uniform(0.4, 1, 2)
        reach = radius * shape
        draw.ellipse([*(centre - reach), *(centre + reach)], int(random.integers(256)))
    values = np.asarray(picture)
    if random.random() < 0.5:
        dark = values < np.quantile(values, random.uniform(0.1, 0.5))
        return mnist_form(np.where(dark, 255 - values, 0).astype(np.uint8))
    return np.asarray(picture.resize((28, 28), Image.Resampling.BOX))


def noise(digits: Digits, random: np.random.Generator) -> Bytes:
    """Coarse or fine, dense or sparse, in grey or in black and white."""
    side = int(random.choice([4, 7, 10, 14, 28, 28]))
    grain = random.random([side, side]) ** random.uniform(0.5, 6)
    if random.random() < 0.4:
        grain = (random.random([side, side]) < random.uniform(0.02, 0.7)).astype(float)
    method = Image.Resampling.NEAREST if random.random() < 0.4 else Image.Resampling.BICUBIC
    small = Image.fromarray((grain * 255).astype(np.uint8))
    return framed(np.asarray(small.resize((28, 28), method), float) / 255, random)


def framed(values: NDArray[np.float64], random: np.random.Generator) -> Bytes:
    """[28, 28] in 0..1 as it is, or with the margin of MNIST, in some strength."""
    if random.random() < 0.4:
        values = np.pad(values[4:24, 4:24], 4)
    return np.asarray(values * random.uniform(0.3, 1) * 255, np.uint8)


def blank(digits: Digits, random: np.random.Generator) -> Bytes:
    """Of one grey, of a slope of greys, or paper with a speck or two."""
    kind = random.integers(3)
    if kind == 0:
        return np.full([28, 28], random.integers(256), np.uint8)
    if kind == 1:
        start, stop = random.uniform(0, 255, 2)
        slope = np.tile(np.linspace(start, stop, 28), [28, 1])
        return np.asarray(np.rot90(slope, int(random.integers(4))), np.uint8)
    paper = np.zeros([28, 28], np.uint8)
    for y, x in random.integers(4, 23, [random.integers(1, 4), 2]):
        paper[y : y + 2, x : x + 2] = random.integers(30, 256)
    return paper


SOURCES: dict[Source, float] = {
    letter: 0.36,
    two_digits: 0.08,
    inverted: 0.04,
    scribble: 0.10,
    strokes: 0.05,
    doodle: 0.08,
    polygon: 0.07,
    texture: 0.05,
    scenery: 0.06,
    noise: 0.08,
    blank: 0.03,
}
