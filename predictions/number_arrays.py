"""Images that are JSON arrays of numbers, read without an object of Python for each number.

Most bodies are nothing else. Any other is left to `forms`, which reads whatever may be sent and
says what is wrong with the rest; what is read here is read to the same there, more slowly.
"""

import threading
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import simdjson
from simdjson import Array, Object

from predictions.images import IMAGE_FIELDS, MAX_IMAGES, PIXELS, SIDE, Options
from predictions.pixels import WHITE, Pixels

BRACKETS = {PIXELS: 1, SIDE: 1 + SIDE}  # opened by an image that is flat, and by one of rows
# In an object of more there are others, and to find each of very many takes too long.
MOST_FIELDS = 1 + len(Options._fields)
NUMBERS: list[tuple[Literal["u", "d"], type[np.generic]]] = [("u", np.uint64), ("d", np.float64)]


class Parsers(threading.local):
    """One for each thread. It keeps its memory from body to body, a dozen times as much as the
    largest; to ask the system for that each time takes as long as to parse.
    """

    def __init__(self) -> None:
        self.parser = simdjson.Parser()


PARSERS = Parsers()


class Numbers(NamedTuple):
    pixels: Pixels  # [n, 784] in 0..255: uint8 if all are whole, else float64
    said: Mapping[str, Any]  # the fields beside the images, not looked at


def numbers_in(body: bytes) -> Numbers | None:
    """The images of a body; None if it is none, or holds anything but images of numbers."""
    try:
        value = PARSERS.parser.parse(body)
        if isinstance(value, Array):
            return numbers_alone(value, body)
        fields = fields_of(value)
    except (ValueError, RuntimeError, KeyError):
        return None  # no JSON; a number too large, arrays too deep; a name with NUL
    given = fields.keys() & IMAGE_FIELDS
    if len(given) != 1:
        return None
    field = given.pop()
    pixels = pixels_of(fields.pop(field), body)
    if pixels is None or (field == "image" and len(pixels) != 1):
        return None
    # A parser cannot be used again while somebody holds an array of its.
    if fields and any(isinstance(value, Array | Object) for value in fields.values()):
        return None
    return Numbers(pixels, fields)


def numbers_alone(value: Array, body: bytes) -> Numbers | None:
    pixels = pixels_of(value, body)
    return None if pixels is None else Numbers(pixels, {})


def fields_of(value: Any) -> dict[str, Any]:
    """Of an object its fields, if they are few and each comes once."""
    if not isinstance(value, Object) or len(value) > MOST_FIELDS:
        return {}
    fields = {name: value[name] for name in value}  # items() would make lists of arrays
    return fields if len(fields) == len(value) else {}


def pixels_of(value: Any, body: bytes) -> Pixels | None:
    images = number_of_images(value, body) if isinstance(value, Array) else 0
    numbers = numbers_of(value) if 0 < images <= MAX_IMAGES else None
    if numbers is None or np.maximum.reduce(numbers) > WHITE:  # quicker than max(), which calls it
        return None
    if numbers.dtype == np.uint64:
        return numbers.astype(np.uint8).reshape(images, PIXELS)
    return numbers.reshape(images, PIXELS) if numbers.min() >= 0 else None


def numbers_of(value: Array) -> Pixels | None:
    """All in it, in their order: uint64 if they are whole, else float64; None if some are none."""
    for kind, type in NUMBERS:
        try:
            return np.frombuffer(value.as_buffer(of_type=kind), type)
        except (TypeError, ValueError):
            continue
    return None


def number_of_images(value: Array, body: bytes) -> int:
    """Of a value that is one, or an array of some; 0 if it is neither.

    No bracket is opened in all of the body but theirs, so that an image cannot hide another.
    """
    if len(value) == PIXELS and has_one_bracket(body):
        return 1
    brackets = brackets_in(body)
    if is_image(value) and brackets == BRACKETS[len(value)]:
        return 1
    images = [image for image in value if isinstance(image, Array) and is_image(image)]
    opened = 1 + sum(BRACKETS[len(image)] for image in images)
    return len(images) if len(images) == len(value) and brackets == opened else 0


def has_one_bracket(body: bytes) -> bool:
    """That is opened; found in a tenth of the time that it takes to count them."""
    return body.find(b"[", body.find(b"[") + 1) < 0


def brackets_in(body: bytes) -> int:
    """That are opened; found in a quarter of the time that `body.count` takes."""
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))


def is_image(value: Array) -> bool:
    """As far as can be seen without a look at its numbers."""
    if len(value) == SIDE:
        return all(isinstance(row, Array) and len(row) == SIDE for row in value)
    return len(value) == PIXELS
