"""From the bytes of a request to what the model reads: float32 [n, 28, 28, 1] in 0..1, ink = 1.

Pure functions; docs/preprocessing.md says the same in words. What is refused is refused with a
problem that says which image and which pixel.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from mnistapi.problems import (
    INVALID_INK,
    MALFORMED_JSON,
    NOT_A_NUMBER,
    PIXEL_OUT_OF_RANGE,
    TOO_MANY_IMAGES,
    UNKNOWN_FIELD,
    WRONG_SHAPE,
    Problem,
)

Images = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.float64]

SIDE = 28
PIXELS = SIDE * SIDE
MAX_IMAGES = 100
# A hundred images of 784 floats in full are 2 MB; what is parsed takes many times its size.
MAX_BODY = 2 * 2**20
WHITE = 255.0
ROUNDING = 1e-3

IMAGE_FIELDS = {"image", "images"}
INKS = {"dark", "light"}


def decode(body: bytes) -> Images:
    """`POST /v1/predictions`: one image, or up to 100, as JSON numbers.

    The body is 784 numbers, 28 x 28 of them, or a list of either; or an object that has such a
    thing as `image` or `images`, and maybe `ink`.
    """
    pixels, ink = pixels_and_ink(parse(body))
    return normalise(pixels, ink)


def decode_blog(body: bytes) -> Images:
    """`POST /`: the contract of the blog post, 784 numbers in 0..255, `(255 - x) / 255`."""
    value = parse(body)
    if not isinstance(value, list) or len(value) != PIXELS:
        wrong_shape("The body must be an array of 784 numbers.")
    pixels = in_range([flat(value, 0)])
    return shaped((WHITE - pixels) / WHITE)


def parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(MALFORMED_JSON, f"The body is not JSON: {error}.") from error


def pixels_and_ink(value: Any) -> tuple[Pixels, str | None]:
    if not isinstance(value, dict):
        return pixels_of(value), None
    if unknown := value.keys() - IMAGE_FIELDS - {"ink"}:
        raise Problem(UNKNOWN_FIELD, f"There is no field {min(unknown)[:40]!r}.")
    ink = value.get("ink")
    if ink is not None and (not isinstance(ink, str) or ink not in INKS):
        raise Problem(INVALID_INK, '"ink" is "dark" (on light paper) or "light" (on dark).')
    given = value.keys() & IMAGE_FIELDS
    if len(given) != 1:
        wrong_shape('Give either "image" or "images".')
    field = given.pop()
    pixels = pixels_of(value[field])
    if field == "image" and len(pixels) != 1:
        wrong_shape('"image" is one image; several are "images".')
    return pixels, ink


def pixels_of(value: Any) -> Pixels:
    """The numbers as they were sent: float64 [n, 784], each in 0..255."""
    images = rows_of(value)
    if len(images) > MAX_IMAGES:
        raise Problem(TOO_MANY_IMAGES, f"{len(images)} images were sent; {MAX_IMAGES} may be.")
    return in_range([flat(image, index) for index, image in enumerate(images)])


def in_range(numbers: list[list[float]]) -> Pixels:
    pixels = np.array(numbers, dtype=np.float64)
    # NaN cannot be written in JSON, so a comparison finds all that is wrong.
    outside = np.argwhere((pixels < 0) | (pixels > WHITE))
    if len(outside):
        image, pixel = outside[0]
        raise Problem(
            PIXEL_OUT_OF_RANGE,
            f"Pixel {pixel} of image {image} is {numbers[image][pixel]}; pixels are 0 to 255.",
        )
    return pixels


def rows_of(value: Any) -> list[Any]:
    """The images of a value of any of the four shapes, each still flat or 28 x 28."""
    if not isinstance(value, list) or not value:
        wrong_shape("An image is 784 numbers or 28 rows of 28.")
    if not isinstance(value[0], list):
        return [value]
    rows_of_one = len(value) == SIDE and all(is_row(row) for row in value)
    return [value] if rows_of_one else value


def is_row(value: Any) -> bool:
    return isinstance(value, list) and len(value) == SIDE and not isinstance(value[0], list)


def flat(image: Any, index: int) -> list[float]:
    """The 784 numbers of one image that is flat or 28 x 28."""
    if not isinstance(image, list):
        wrong_shape(f"Image {index} is not an array.")
    if len(image) == SIDE and all(is_row(row) for row in image):
        image = list(chain.from_iterable(image))
    if len(image) != PIXELS:
        wrong_shape(f"Image {index} is not 784 numbers or 28 rows of 28.")
    refuse_other_types(image, index)
    return list(image)


def refuse_other_types(numbers: Iterable[Any], index: int) -> None:
    """A look at the types, as numpy would take "1", true and null for numbers."""
    if set(map(type, numbers)) <= {int, float}:
        return
    for pixel, number in enumerate(numbers):
        if type(number) not in (int, float):
            kind = {str: "text", bool: "a boolean", list: "an array"}.get(type(number), "no number")
            raise Problem(NOT_A_NUMBER, f"Pixel {pixel} of image {index} is {kind}.")


def normalise(pixels: Pixels, ink: str | None) -> Images:
    """Bring images as people have them to what MNIST is: [n, 784] -> [n, 28, 28, 1].

    Each image is looked at by itself, so that its answer does not depend on its neighbours. One
    with a value above 1, by more than a rounding, is in 0..255, another in 0..1. Unless `ink` is
    said, the paper is what most of the frame is: where that is light, the image is inverted.
    """
    in_bytes = pixels.max(axis=1, keepdims=True) > 1 + ROUNDING
    images = np.where(in_bytes, pixels / WHITE, np.minimum(pixels, 1)).reshape(-1, SIDE, SIDE)
    dark_ink = on_light_paper(images) if ink is None else ink == "dark"
    images = np.where(np.reshape(dark_ink, (-1, 1, 1)), 1 - images, images)
    return shaped(images)


def on_light_paper(images: Pixels) -> npt.NDArray[np.bool_]:
    """For each of [n, 28, 28] in 0..1: is the mean of its frame, one pixel wide, above a half?"""
    frame = np.ones((SIDE, SIDE), dtype=bool)
    frame[1:-1, 1:-1] = False
    return np.asarray(images[:, frame].mean(axis=1) > 0.5)


def shaped(pixels: npt.NDArray[Any]) -> Images:
    return pixels.reshape(-1, SIDE, SIDE, 1).astype(np.float32)


def wrong_shape(detail: str) -> NoReturn:
    raise Problem(WRONG_SHAPE, detail)
