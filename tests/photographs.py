"""Digits of MNIST drawn by code with a pen on paper, and photographed badly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

Grey = Any  # uint8 [h, w]


@dataclass(frozen=True)
class Scene:
    """How a digit is drawn and photographed; `noise` is a standard deviation in grey values."""

    pen: str = "usual"
    chalk: bool = False  # light on dark
    shadow_edge: bool = False
    specks: int = 0
    noise: float = 4


SCENES = {
    "a pen on paper": Scene(),
    "a thin pen": Scene(pen="thin"),
    "a thick pen": Scene(pen="thick"),
    "chalk on a board": Scene(chalk=True),
    "the edge of a shadow": Scene(shadow_edge=True),
    "dirt": Scene(specks=12),
    "a noisy camera": Scene(noise=20),
}


def photograph(digit: Grey, scene: Scene, side: int, rng: np.random.Generator) -> Grey:
    """A picture whose longer side is `side`: the digit anywhere on it, unevenly lit, with noise."""
    height, width = np.array([1, rng.uniform(0.75, 1)])[rng.permutation(2)] * side
    page = np.zeros((int(height), int(width)))
    put(page, drawn(digit, min(page.shape) * rng.uniform(0.35, 1.1), scene.pen), rng)
    for top, left in rng.integers(0, np.array(page.shape) - 3, (scene.specks, 2)):
        page[top : top + rng.integers(1, 4), left : left + rng.integers(1, 4)] = 1
    paper, ink = rng.uniform(170, 245), rng.uniform(15, 90)
    picture = (paper + (ink - paper) * page) * light_on(page.shape, scene.shadow_edge, rng)
    picture = 255 - picture if scene.chalk else picture
    return (picture + rng.normal(0, scene.noise, page.shape)).clip(0, 255).astype(np.uint8)


def drawn(digit: Grey, size: float, pen: str) -> Any:
    """The strokes of an MNIST digit in 0..1, its 28 pixels `size` long; cut to its box."""
    pixel = size / 28
    smooth = Image.fromarray(digit).resize((int(size), int(size)), Image.Resampling.BICUBIC)
    smooth = smooth.filter(ImageFilter.GaussianBlur(pixel * (0.9 if pen == "thick" else 0.35)))
    strokes = np.asarray(smooth) > (40 if pen == "thick" else 127)
    strokes = middle_of(strokes, pixel) if pen == "thin" else strokes
    rows, columns = np.flatnonzero(strokes.any(1)), np.flatnonzero(strokes.any(0))
    box = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    edges = Image.fromarray(box.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(1))
    return np.asarray(edges) / 255


def middle_of(strokes: Any, pixel: float) -> Any:
    """About half an MNIST pixel of the middle of each stroke."""
    small = Image.fromarray(strokes.astype(np.uint8) * 255).resize((224, 224))
    depth = np.zeros((224, 224), np.uint8)
    left = small
    while np.asarray(left).any():
        depth += np.asarray(left) > 127
        left = left.filter(ImageFilter.MinFilter(3))
    ridge = (depth > 0) & (
        depth == np.asarray(Image.fromarray(depth).filter(ImageFilter.MaxFilter(3)))
    )
    line = Image.fromarray(ridge.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(3))
    return np.asarray(line.resize(strokes.shape[::-1])) > 127


def put(page: Any, box: Any, rng: np.random.Generator) -> None:
    """Anywhere on the page, as much of it as the page holds."""
    box = box[: page.shape[0], : page.shape[1]]
    top, left = rng.integers(0, np.subtract(page.shape, box.shape) + 1)
    page[top : top + box.shape[0], left : left + box.shape[1]] = box


def light_on(shape: tuple[int, ...], has_edge: bool, rng: np.random.Generator) -> Any:
    """Light in 0..1 that falls off to one side, by up to a half; maybe with a shadow across."""
    angle = rng.uniform(0, 2 * np.pi)
    down, across = np.mgrid[: shape[0], : shape[1]]
    way = np.sin(angle) * down + np.cos(angle) * across
    way = (way - way.min()) / np.ptp(way)
    return (1 - rng.uniform(0.1, 0.5) * way) * np.where(has_edge & (way > 0.5), 0.6, 1)
