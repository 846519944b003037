"""From the bytes of a request to what the model reads: float32 [n, 28, 28, 1] in 0..1, ink = 1.

Pure functions; docs/preprocessing.md says the same in words. What is refused is refused with a
problem that says which image and which pixel.
"""

from collections.abc import Callable
from io import BytesIO
from itertools import chain
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import orjson

from billing.plans import PLANS
from mnistapi.problems import (
    INVALID_INK,
    INVALID_RELEASE,
    MALFORMED_JSON,
    MALFORMED_NPY,
    NOT_A_NUMBER,
    PIXEL_OUT_OF_RANGE,
    TOO_MANY_IMAGES,
    UNKNOWN_FIELD,
    WRONG_SHAPE,
    Problem,
)

Images = npt.NDArray[np.float32]
Pixels = npt.NDArray[Any]  # [n, 784] of uint8 or floats, as they were sent

SIDE = 28
PIXELS = SIDE * SIDE
WHITE = 255
ROUNDING = 1e-3
# The most that any plan allows; a plan's own limit is for the ledger to hold.
MAX_IMAGES = max(plan.max_images for plan in PLANS.values())

IMAGE_FIELDS = {"image", "images"}
INKS = {"dark", "light"}
MAX_RELEASE_LENGTH = 100  # of a name, as the log keeps it

# The 108 pixels around the edge, by their place in a flat image.
FRAME = np.flatnonzero(np.pad(np.zeros((SIDE - 2, SIDE - 2)), 1, constant_values=1))

# What each whole number becomes, by whether its image is in 0..255 and whether its ink is dark.
UNIT, BYTES = np.minimum(np.arange(256), 1), np.arange(256) / WHITE
TABLES = np.array([UNIT, 1 - UNIT, BYTES, 1 - BYTES], np.float32)


class Sent(NamedTuple):
    """What a body asks for: its images, and the release that is to answer if it names one."""

    images: Images
    release: str | None = None


class Form(NamedTuple):
    """A form in which images are sent: `decode` reads a body of at most `max_body` bytes."""

    max_body: int
    decode: Callable[[bytes], Sent]


class Options(NamedTuple):
    """What may be said beside the images."""

    ink: str | None = None
    release: str | None = None


def decode_json(body: bytes) -> Sent:
    """One image or several as JSON numbers.

    The body is 784 numbers, 28 x 28 of them, or a list of either; or an object that has such a
    thing as `image` or `images`, and maybe `ink` and `release`.
    """
    images, options = images_and_options(parse(body))
    pixels = pixels_of(images, may_hold_booleans(body))
    return Sent(normalise(pixels, options.ink), options.release)


def decode_npy(body: bytes) -> Sent:
    """Images as numpy saves them: n x 28 x 28 or n x 784, or one of them, uint8 or floats."""
    return Sent(normalise(finite_in_range(saved_array(body)), None))


def decode_blog(body: bytes) -> Sent:
    """`POST /`: the contract of the blog post, 784 numbers in 0..255, `(255 - x) / 255`."""
    value = parse(body)
    if not isinstance(value, list) or len(value) != PIXELS:
        wrong_shape("The body must be an array of 784 numbers.")
    pixels = pixels_of([value], may_hold_booleans(body))
    return Sent(shaped((WHITE - pixels.astype(np.float32)) / np.float32(WHITE)))


# What is parsed from JSON takes up to thirty times its size; 2 MiB are 100 images of 784 numbers
# written in full. An array is used as it is: 10 MiB are 1,600 images of float64.
FORMS = {
    "application/json": Form(2 * 2**20, decode_json),
    "application/x-npy": Form(10 * 2**20, decode_npy),
}
BLOG_FORMS = {"application/json": Form(2 * 2**20, decode_blog)}


def parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(MALFORMED_JSON, f"The body is not JSON: {error}.") from error


def may_hold_booleans(body: bytes) -> bool:
    return b"e" in body and (b"true" in body or b"false" in body)  # a letter is found quickly


def images_and_options(value: Any) -> tuple[list[Any], Options]:
    if not isinstance(value, dict):
        return images_of(value), Options()
    if unknown := value.keys() - IMAGE_FIELDS - set(Options._fields):
        raise Problem(UNKNOWN_FIELD, f"There is no field {min(unknown)[:40]!r}.")
    options = Options(ink_of(value.get("ink")), release_of(value.get("release")))
    given = value.keys() & IMAGE_FIELDS
    if len(given) != 1:
        wrong_shape('Give either "image" or "images".')
    field = given.pop()
    images = images_of(value[field])
    if field == "image" and len(images) != 1:
        wrong_shape('"image" is one image; several are "images".')
    return images, options


def ink_of(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or value not in INKS):
        raise Problem(INVALID_INK, '"ink" is "dark" (on light paper) or "light" (on dark).')
    return value


def release_of(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= MAX_RELEASE_LENGTH):
        raise Problem(
            INVALID_RELEASE, f'"release" is a name of at most {MAX_RELEASE_LENGTH} characters.'
        )
    return value


def images_of(value: Any) -> list[Any]:
    """The images of a value of any of the four shapes, each still flat or 28 x 28."""
    if not isinstance(value, list) or not value:
        wrong_shape("An image is 784 numbers or 28 rows of 28.")
    if not isinstance(value[0], list):
        return [value]
    rows_of_one = len(value) == SIDE and all(is_row(row) for row in value)
    return [value] if rows_of_one else limited(value)


def limited(images: list[Any]) -> list[Any]:
    if len(images) > MAX_IMAGES:
        raise Problem(TOO_MANY_IMAGES, f"{len(images)} images were sent; {MAX_IMAGES} may be.")
    return images


def is_row(value: Any) -> bool:
    return isinstance(value, list) and len(value) == SIDE and not isinstance(value[0], list)


def pixels_of(images: list[Any], may_hold_booleans: bool) -> Pixels:
    """The numbers of JSON images, each in 0..255: uint8 [n, 784] if all are whole, else float64."""
    rows = [flat(image, index) for index, image in enumerate(images)]
    if not may_hold_booleans:
        try:  # the usual case, at a quarter of the cost: each row is a list of bytes
            return np.frombuffer(b"".join(map(bytes, rows)), np.uint8).reshape(-1, PIXELS)
        except (TypeError, ValueError):
            pass
    for index, row in enumerate(rows):
        refuse_other_types(row, index)
    return in_range(np.array(rows, np.float64), rows)


def flat(image: Any, index: int) -> list[Any]:
    """The 784 items of one image that is flat or 28 x 28."""
    if not isinstance(image, list):
        wrong_shape(f"Image {index} is not an array.")
    if len(image) == SIDE and all(is_row(row) for row in image):
        image = list(chain.from_iterable(image))
    if len(image) != PIXELS:
        wrong_shape(f"Image {index} is not 784 numbers or 28 rows of 28.")
    return list(image)


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


def saved_array(body: bytes) -> Pixels:
    """The array of a .npy file, [n, 784]. Nothing is allocated for what only its header says."""
    file = BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read_header(file)
    except (
        Exception
    ) as error:  # the header is Python, and numpy lets through what its parser raises
        raise Problem(MALFORMED_NPY, "The body is not a .npy file of version 1 or 2.") from error
    if dtype != np.uint8 and dtype.kind != "f":
        raise Problem(NOT_A_NUMBER, f"Pixels are uint8 or floats, not {dtype.name}.")
    count = number_of_images(shape)
    data = memoryview(body)[file.tell() :]
    if len(data) != count * PIXELS * dtype.itemsize:
        raise Problem(MALFORMED_NPY, "The body is longer or shorter than its header says.")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if is_fortran else "C").reshape(count, PIXELS)


def number_of_images(shape: tuple[int, ...]) -> int:
    if shape in ((PIXELS,), (SIDE, SIDE)):
        return 1
    if not shape or shape[1:] not in ((PIXELS,), (SIDE, SIDE)) or not shape[0]:
        wrong_shape(f"The array has the shape {list(shape)}, not [n, 28, 28] or [n, 784].")
    if shape[0] > MAX_IMAGES:
        raise Problem(TOO_MANY_IMAGES, f"{shape[0]} images were sent; {MAX_IMAGES} may be.")
    return shape[0]


def finite_in_range(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    strange = np.argwhere(~np.isfinite(pixels))
    if len(strange):
        image, pixel = strange[0]
        raise Problem(NOT_A_NUMBER, f"Pixel {pixel} of image {image} is not a finite number.")
    return in_range(pixels, pixels)


def normalise(pixels: Pixels, ink: str | None) -> Images:
    """Bring images as people have them to what MNIST is: [n, 784] -> [n, 28, 28, 1].

    Each image is looked at by itself, so that its answer does not depend on its neighbours. One
    with a value above 1, by more than a rounding, is in 0..255, another in 0..1. Unless `ink` is
    said, the paper is what most of the frame is: where that is light, the image is inverted.
    """
    white = np.where(pixels.max(axis=1) > 1 + ROUNDING, WHITE, 1)
    has_dark_ink = on_light_paper(pixels, white) if ink is None else ink == "dark"
    if pixels.dtype == np.uint8:
        return shaped(looked_up(pixels, white, has_dark_ink))
    images = np.minimum(pixels / white[:, None], 1)
    np.subtract(1, images, out=images, where=np.reshape(has_dark_ink, (-1, 1)))
    return shaped(images.astype(np.float32))


def on_light_paper(pixels: Pixels, white: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """For each of [n, 784]: is the mean of its frame, one pixel wide, above half of white?"""
    return np.asarray(pixels.take(FRAME, axis=1).sum(axis=1) > white * (len(FRAME) / 2))


def looked_up(pixels: Pixels, white: npt.NDArray[Any], has_dark_ink: Any) -> Images:
    """Whole numbers by the table of their image, which is a fraction of what arithmetic takes."""
    tables = 2 * (white == WHITE) + has_dark_ink
    first = tables[0]
    if len(tables) == 1 or (tables == first).all():
        return np.asarray(TABLES[first].take(pixels))
    return np.asarray(TABLES[tables[:, None], pixels])


def shaped(images: Images) -> Images:
    return images.reshape(-1, SIDE, SIDE, 1)


def wrong_shape(detail: str) -> NoReturn:
    raise Problem(WRONG_SHAPE, detail)
