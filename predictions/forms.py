"""The forms in which images are sent, and how each is read."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson

from mnistapi.problems import MALFORMED_JSON, UNKNOWN_FIELD, Problem
from predictions import multipart, pictures
from predictions.images import (
    IMAGE_FIELDS,
    PIXELS,
    SIDE,
    Options,
    Sent,
    options,
    refuse_more_than_any_plan_allows,
    shaped,
    wrong_shape,
)
from predictions.npy import finite_in_range, saved_array
from predictions.number_arrays import numbers_in
from predictions.pixels import WHITE, as_images, is_row, pixels_of

# In JSON, a text or the first of several where images stand.
TEXT_FOR_AN_IMAGE = re.compile(rb'"images?"\s*:\s*(?:\[\s*)?"')


def always(body: bytes) -> bool:
    return True


def never(body: bytes) -> bool:
    return False


def may_have_pictures(body: bytes) -> bool:
    """Whether an image in it may be a text; one that escapes letters may say anything."""
    if b'"' not in body:
        return False
    return b"\\" in body or TEXT_FOR_AN_IMAGE.search(body) is not None


def all_of_it(body: bytes, content_type: str) -> bytes:
    return body


class Form(NamedTuple):
    """A form in which images are sent; a body of at most `max_body` bytes is read by `decode`.

    One of more than `quick` bytes takes long to read, and so may a smaller one that `has_pictures`:
    such must not hold up others. Two bodies of one `essence` ask for the same.
    """

    max_body: int
    decode: Callable[[bytes, str], Sent]
    has_pictures: Callable[[bytes], bool] = never
    essence: Callable[[bytes, str], bytes] = all_of_it
    quick: int = 64 * 2**10


def decode_json(body: bytes, content_type: str = "") -> Sent:
    """Images as JSON, as numbers or as the base64 of PNG or JPEG.

    The body is 784 numbers, 28 x 28 of them, or a list of either; or an object that has such a
    thing, or a text or a list of texts, as `image` or `images`, and maybe `ink` and `release`.
    """
    if numbers := numbers_in(body):
        ink, release = options_of(numbers.said) if numbers.said else Options()
        return Sent(as_images(numbers.pixels, ink), release)
    value = parse(body)
    if not isinstance(value, dict):
        return Sent(as_images(pixels_of(images_of(value)), None))
    ink, release = options_of(value)
    given = given_images(value)
    if isinstance(given[0], str):
        files = [pictures.from_base64(text, index) for index, text in enumerate(given)]
        return Sent(pictures.images_of(files, ink), release)
    return Sent(as_images(pixels_of(given), ink), release)


def decode_npy(body: bytes, content_type: str = "") -> Sent:
    """Images as numpy saves them: n x 28 x 28 or n x 784, or one of them, uint8 or floats."""
    return Sent(as_images(finite_in_range(saved_array(body)), None))


def decode_picture(body: bytes, content_type: str = "") -> Sent:
    """A PNG or a JPEG; which of them, it says itself."""
    return Sent(pictures.images_of([body], None))


def decode_multipart(body: bytes, content_type: str) -> Sent:
    """A form with one or more files `image`, and maybe fields `ink` and `release`."""
    files, (ink, release) = multipart.files_and_options(body, content_type)
    return Sent(pictures.images_of(files, ink), release)


def decode_blog(body: bytes, content_type: str = "") -> Sent:
    """`POST /`: the contract of the blog post, 784 numbers in 0..255, `(255 - x) / 255`."""
    value = parse(body)
    if not isinstance(value, list) or len(value) != PIXELS:
        wrong_shape("The body must be an array of 784 numbers.")
    pixels = pixels_of([value])
    return Sent(shaped((WHITE - pixels.astype(np.float32)) / np.float32(WHITE)))


def parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(MALFORMED_JSON, f"The body is not JSON: {error}.") from error


def options_of(fields: Mapping[str, Any]) -> Options:
    if unknown := fields.keys() - IMAGE_FIELDS - set(Options._fields):
        raise Problem(UNKNOWN_FIELD, f"There is no field {min(unknown)[:40]!r}.")
    return options(fields.get("ink"), fields.get("release"))


def given_images(fields: Mapping[str, Any]) -> list[Any]:
    given = fields.keys() & IMAGE_FIELDS
    if len(given) != 1:
        wrong_shape('Give either "image" or "images".')
    field = given.pop()
    images = texts_of(fields[field]) or images_of(fields[field])
    if field == "image" and len(images) != 1:
        wrong_shape('"image" is one image; several are "images".')
    return images


def texts_of(value: Any) -> list[str]:
    """The texts that a value is or has; none if it does not begin with one."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not isinstance(texts[0], str):
        return []
    refuse_more_than_any_plan_allows(len(texts))
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            wrong_shape(f"Image {index} is not a text, as the first is.")
    return texts


def images_of(value: Any) -> list[Any]:
    """The images of a value of any of the four shapes, each still flat or 28 x 28."""
    if not isinstance(value, list) or not value:
        wrong_shape("An image is 784 numbers or 28 rows of 28.")
    if not isinstance(value[0], list):
        return [value]
    rows_of_one = len(value) == SIDE and all(is_row(row) for row in value)
    if not rows_of_one:
        refuse_more_than_any_plan_allows(len(value))
    return [value] if rows_of_one else value


# What is parsed from JSON takes up to thirty times its size; 2 MiB are 100 images of 784 numbers
# written in full. Others are used as they are: 10 MiB are 1,600 images of float64.
JSON = 2 * 2**20
BINARY = 10 * 2**20
FORMS = {
    "application/json": Form(JSON, decode_json, may_have_pictures),
    "application/x-npy": Form(BINARY, decode_npy, quick=128 * 2**10),
    "image/png": Form(BINARY, decode_picture, always),
    "image/jpeg": Form(BINARY, decode_picture, always),
    "multipart/form-data": Form(BINARY, decode_multipart, always, multipart.without_boundary),
}
BLOG_FORMS = {"application/json": Form(JSON, decode_blog)}
