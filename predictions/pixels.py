"""Images that are sent as numbers: in the form of MNIST, in 0..1 or 0..255, the ink light or dark.

Pure functions; docs/preprocessing.md says the same in words. What is refused is refused with a
problem that says which image and which pixel.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from mnistapi.problems import NOT_A_NUMBER, PIXEL_OUT_OF_RANGE, Problem
from predictions.images import PIXELS, SIDE, Images, shaped, wrong_shape

Pixels = npt.NDArray[Any]  # [n, 784] of uint8 or floats, as they were sent

WHITE = 255
ROUNDING = 1e-3

# What 0..255 is in an image of that white, its ink light or dark: exact, as it rounds once.
SHADES = {
    (white, is_dark): np.divide(
        np.arange(WHITE + 1, dtype=np.uint8) ^ (white * is_dark), white, dtype=np.float32
    )
    for white in (1, WHITE)
    for is_dark in (False, True)
}

# The 108 pixels around the edge, by their place in a flat image.
FRAME = np.flatnonzero(np.pad(np.zeros((SIDE - 2, SIDE - 2)), 1, constant_values=1))


def pixels_of(images: list[Any]) -> Pixels:
    """The numbers of JSON images, each in 0..255: uint8 [n, 784] if all are whole, else float64."""
    rows = [flat(image, index) for index, image in enumerate(images)]
    for index, row in enumerate(rows):
        refuse_other_types(row, index)
    pixels = in_range(np.array(rows, np.float64), rows)
    are_whole = all(type(number) is int for number in chain.from_iterable(rows))
    return pixels.astype(np.uint8) if are_whole else pixels


def is_row(value: Any) -> bool:
    return isinstance(value, list) and len(value) == SIDE and not isinstance(value[0], list)


def flat(image: Any, index: int) -> list[Any]:
    """The 784 items of one image that is flat or 28 x 28."""
    if not isinstance(image, list):
        wrong_shape(f"Image {index} is not an array.")
    if len(image) == SIDE and all(is_row(row) for row in image):
        image = list(chain.from_iterable(image))
    if len(image) != PIXELS:
        wrong_shape(f"Image {index} is not 784 numbers or 28 rows of 28.")
    numbers: list[Any] = image
    return numbers


def refuse_other_types(numbers: list[Any], index: int) -> None:
    """A look at the types, as numpy would take "1", true and null for numbers."""
    if set(map(type, numbers)) <= {int, float}:
        return
    for pixel, number in enumerate(numbers):
        if type(number) not in (int, float):
            kind = {str: "text", bool: "a boolean", list: "an array"}.get(type(number), "no number")
            raise Problem(NOT_A_NUMBER, f"Pixel {pixel} of image {index} is {kind}.")


def in_range(pixels: Pixels, given: Any) -> Pixels:
    """The pixels, if they are all in 0..255; `given` has them as they were sent."""
    outside = np.argwhere((pixels < 0) | (pixels > WHITE))
    if len(outside):
        image, pixel = outside[0]
        raise Problem(
            PIXEL_OUT_OF_RANGE,
            f"Pixel {pixel} of image {image} is {given[image][pixel]}; pixels are 0 to 255.",
        )
    return pixels


def as_images(pixels: Pixels, ink: str | None) -> Images:
    """Bring images as people have them to what MNIST is: [n, 784] -> [n, 28, 28, 1].

    Each image is looked at by itself, so that its answer does not depend on its neighbours. One
    with a value above 1, by more than a rounding, is in 0..255, another in 0..1. Unless `ink` is
    said, the paper is what most of the frame is: where that is light, the image is inverted.
    """
    if len(pixels) == 1 and pixels.dtype == np.uint8:
        return shaped(whole_as_image(pixels, ink))
    white = [WHITE if most > 1 + ROUNDING else 1 for most in pixels.max(axis=1).tolist()]
    is_dark = on_light_paper(pixels, white) if ink is None else [ink == "dark"] * len(white)
    if pixels.dtype == np.uint8:
        return shaped(whole_as_images(pixels, white, is_dark))
    images = np.minimum(pixels / column(white), 1)
    np.subtract(1, images, out=images, where=column(is_dark))
    return shaped(images.astype(np.float32))


def whole_as_image(pixels: Pixels, ink: str | None) -> Images:
    """The same for one, [1, 784]: the usual call, of which half would go into lists of one."""
    white = WHITE if pixels.tobytes().strip(b"\0\1") else 1  # if any is above 1
    if ink is None:
        is_dark = sum(pixels.take(FRAME).tobytes()) > white * (len(FRAME) / 2)
    else:
        is_dark = ink == "dark"
    image: Images = SHADES[white, is_dark].take(pixels)
    return image


def on_light_paper(pixels: Pixels, white: Sequence[int]) -> list[bool]:
    """For each of [n, 784]: is the mean of its frame, one pixel wide, above half of white?"""
    frames = np.add.reduce(pixels.take(FRAME, axis=1), axis=1).tolist()
    return [frame > w * (len(FRAME) / 2) for frame, w in zip(frames, white, strict=True)]


def whole_as_images(pixels: Pixels, white: Sequence[int], is_dark: Sequence[bool]) -> Images:
    """As above, by looking each number up."""
    kinds = list(zip(white, is_dark, strict=True))
    if len(set(kinds)) == 1:
        images: Images = SHADES[kinds[0]].take(pixels)
        return images
    return np.stack([SHADES[kind].take(row) for kind, row in zip(kinds, pixels, strict=True)])


def column(values: Sequence[float]) -> npt.NDArray[Any]:
    return np.array(values)[:, None]
