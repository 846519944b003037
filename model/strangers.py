"""Images that are not digits, to test releases with, from other sources than are trained on.

Other fonts than in `model.outliers`, figures of another pen, photographs of scikit-image, noise of
another kind, and what is done to the digits of the test set; inverted ones are trained on as well,
but others. What a person would send as a picture is drawn as one, dark on light, and goes through
the product's own `normalise`; the rest is sent as arrays of 28 x 28.
"""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from model import figures, fonts
from model.data import DataMissing, Digits, scaled
from model.normalisation import normalise

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Source = Callable[[int, Digits, np.random.Generator], Floats]

SEED = 1994
EACH = 300  # images of each source

PRINT = ("font_caladea", "font_hanken_grotesk", "font_manrope", "font_fjallaone")
HAND = ("font_intuitive",)
PHOTOGRAPHS = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png"),
    *("grass.png", "gravel.png", "moon.png", "motorcycle_left.png", "rocket.jpg"),
)


def strangers(test: Digits, each: int) -> dict[str, Floats]:
    """[each, 28, 28, 1] in 0..1 for each of the SOURCES, the same ones at each call."""
    return {
        name: source(each, test, np.random.default_rng([SEED, number]))[..., np.newaxis]
        for number, (name, source) in enumerate(SOURCES.items())
    }


def printed_letters(n: int, test: Digits, random: np.random.Generator) -> Floats:
    return letters(n, fonts.faces(*PRINT), random)


def hand_drawn_letters(n: int, test: Digits, random: np.random.Generator) -> Floats:
    return letters(n, fonts.faces(*HAND), random)


def letters(n: int, faces: list[Path], random: np.random.Generator) -> Floats:
    which = zip(random.choice(len(faces), n), random.choice(fonts.LETTERS, n), strict=True)
    angles = random.uniform(-12, 12, n)
    drawn = [fonts.letter(faces[f], c, a) for (f, c), a in zip(which, angles, strict=True)]
    return normalise(255 - np.stack(drawn), "dark")


def drawn_figures(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Stars, spirals, hearts, houses, faces ... in a line of some width."""
    return normalise(np.stack([drawn(figures.figure(random), random) for _ in range(n)]), "dark")


def drawn(lines: list[NDArray[np.float64]], random: np.random.Generator) -> Bytes:
    """Lines of places [k, 2] in -1..1, turned a little, on a page of 84 x 84."""
    picture = Image.new("L", (84, 84), 255)
    draw, width = ImageDraw.Draw(picture), int(random.integers(3, 8))
    angle, size = random.uniform(-0.3, 0.3), random.uniform(20, 34, 2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for line in lines:
        draw.line([tuple(p) for p in line @ turn * size + 42], 0, width, "curve")
    return np.asarray(picture)


def photographs(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Parts of photographs, sent as pictures of 84 x 84."""
    return normalise(parts_of_photographs(n, 84, random))


def photographs_as_arrays(n: int, test: Digits, random: np.random.Generator) -> Floats:
    return scaled(parts_of_photographs(n, 28, random))[..., 0]


def parts_of_photographs(n: int, side: int, random: np.random.Generator) -> Bytes:
    """[n, side, side]: squares of 28 pixels to all of the height, averaged or blown up."""
    parts = []
    for photograph in random.choice(len(PHOTOGRAPHS), n):
        whole = photograph_named(PHOTOGRAPHS[photograph])
        square = int(random.uniform(28, min(whole.size)))
        left, top = (int(random.integers(s - square + 1)) for s in whole.size)
        part = whole.crop((left, top, left + square, top + square))
        parts.append(np.asarray(part.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(parts)


@cache
def photograph_named(name: str) -> Image.Image:
    return Image.open(shipped(name)).convert("L")


def people(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Faces, 25 x 25, of Labeled Faces in the Wild, sent as pictures."""
    faces = np.load(shipped("lfw_subset.npy"))[:100]
    chosen = (faces[random.choice(len(faces), n)] * 255).astype(np.uint8)
    return normalise(chosen.repeat(3, axis=1).repeat(3, axis=2))


def shipped(name: str) -> Path:
    """A file among the data of scikit-image, of which nothing is run; raises DataMissing."""
    spec = importlib.util.find_spec("skimage")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder, "data", name)).is_file():
            return file
    raise DataMissing(
        "scikit-image is not installed: run `pip install --no-deps -r requirements-data.txt`"
    )


def coloured_noise(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Noise whose strength falls with the frequency, from white to cloudy."""
    frequency = np.hypot(np.fft.fftfreq(28)[:, None], np.fft.rfftfreq(28)[None])
    frequency[0, 0] = 1
    white = np.fft.rfft2(random.normal(size=[n, 28, 28]))
    noise = np.fft.irfft2(white / frequency ** random.uniform(0, 2.5, [n, 1, 1]), (28, 28))
    low, high = noise.min(axis=(1, 2), keepdims=True), noise.max(axis=(1, 2), keepdims=True)
    return np.asarray((noise - low) / (high - low), np.float32)


def inverted_digits(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Dark ink on light paper, sent as if it were the other way round."""
    return scaled(255 - some_of(test, n, random))[..., 0]


def three_digits(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """A number of three digits, sent as one picture."""
    triples = [some_of(test, n, random)[:, :, 4:24] for _ in range(3)]
    pages = np.pad(255 - np.concatenate(triples, axis=2), ((0, 0), (16, 16), (0, 0)), "edge")
    return normalise(pages, "dark")


def some_of(digits: Digits, n: int, random: np.random.Generator) -> Bytes:
    return np.asarray(digits.images[random.choice(len(digits.images), n)])


def empty_pages(n: int, test: Digits, random: np.random.Generator) -> Floats:
    """Paper of some grey with the grain of a camera and a shadow, sent as pictures."""
    grey, slope = random.uniform(60, 250, [n, 1, 1]), random.uniform(-0.5, 0.5, [n, 1, 1])
    shadow = 1 + slope * np.linspace(-0.5, 0.5, 84)
    grain = random.normal(0, 1, [n, 84, 84]) * random.uniform(0, 6, [n, 1, 1])
    return normalise(np.clip(grey * shadow + grain, 0, 255).astype(np.uint8))


SOURCES: dict[str, Source] = {
    "letters of other fonts": printed_letters,
    "letters drawn by hand": hand_drawn_letters,
    "figures": drawn_figures,
    "photographs": photographs,
    "photographs as arrays": photographs_as_arrays,
    "faces": people,
    "coloured noise": coloured_noise,
    "inverted digits": inverted_digits,
    "numbers of three digits": three_digits,
    "empty pages": empty_pages,
}
