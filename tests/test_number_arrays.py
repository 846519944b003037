"""Bodies of nothing but numbers have a short way, which comes to what the long one does."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistapi.problems import Problem
from predictions import forms
from predictions.images import MAX_IMAGES, PIXELS, SIDE
from predictions.number_arrays import numbers_in

WHOLE = [index % 256 for index in range(PIXELS)]
ROWS = [WHOLE[start : start + SIDE] for start in range(0, PIXELS, SIDE)]
FLOATS = [number / 255 for number in WHOLE]

NUMBERS = st.one_of(st.integers(0, 255), st.floats(0, 255), st.integers(-(2**70), 2**70))
STRANGE = st.one_of(
    NUMBERS, st.booleans(), st.none(), st.text(), st.just([]), st.just([1]), st.just([[1, 2]])
)
SHAPES: list[Any] = [WHOLE, ROWS, FLOATS, WHOLE[1:], ROWS[1:], [ROWS], [], 0, [WHOLE]]
IMAGES = st.sampled_from(range(len(SHAPES))).map(SHAPES.__getitem__)  # which writes itself shortly


@pytest.mark.parametrize("flat", [WHOLE, FLOATS, [0.5, *WHOLE[1:]]])
@pytest.mark.parametrize("field", [None, "image", "images"])
def test_an_image_of_numbers_is_read_here(flat: list[float], field: str | None) -> None:
    rows = [flat[start : start + SIDE] for start in range(0, PIXELS, SIDE)]
    for value in (flat, rows, [flat], [rows]):
        read = numbers_in(json.dumps(value if field is None else {field: value}).encode())
        assert read is not None
        assert read.pixels.dtype == (np.uint8 if flat == WHOLE else np.float64)
        assert read.pixels.tolist() == [flat]


@pytest.mark.parametrize("images", [[WHOLE, ROWS, WHOLE], [ROWS] * SIDE, [WHOLE] * SIDE])
def test_so_are_several_in_any_form(images: list[Any]) -> None:
    read = numbers_in(json.dumps({"ink": "dark", "images": images}).encode())
    assert read is not None
    assert read.pixels.tolist() == [WHOLE] * len(images)
    assert read.said == {"ink": "dark"}


@pytest.mark.parametrize(
    "value",
    [
        *(1, "x", None, {}, [], [[]], {"images": []}, {"ink": "dark"}),
        {"image": [WHOLE, WHOLE]},
        {"image": WHOLE, "images": [WHOLE]},
        [WHOLE, FLOATS[1:]],
        [256, *WHOLE[1:]],
        [-1, *WHOLE[1:]],
        [True, *WHOLE[1:]],
        [None, *WHOLE[1:]],
        ["1", *WHOLE[1:]],
        [[], [1, 2], *WHOLE[2:]],  # as many numbers as in an image
        [WHOLE, [[], [1, 2], *WHOLE[2:]]],
        [[WHOLE]],
        [*ROWS[1:], [ROWS[0]]],
        [WHOLE] * (MAX_IMAGES + 1),
        {"\0": 1, "image": WHOLE},
        {"image\0": WHOLE},
    ],
    ids=lambda value: json.dumps(value)[:20],
)
def test_what_may_be_wrong_is_left_to_the_long_way(value: object) -> None:
    assert numbers_in(json.dumps(value).encode()) is None


@pytest.mark.parametrize("body", [b"", b"[1", b"[1e400]", b"\xff", b"[" * 5_000, b"9" * 30])
def test_so_is_what_is_no_json_or_goes_beyond_its_bounds(body: bytes) -> None:
    assert numbers_in(body) is None


def test_so_are_fields_that_come_twice() -> None:
    image = json.dumps(WHOLE)
    assert numbers_in(f'{{"image": {image}, "ink": "dark", "ink": "light"}}'.encode()) is None


def test_so_is_an_object_of_very_many_fields_before_it_takes_its_time() -> None:
    many = {str(number): number for number in range(100_000)}
    assert numbers_in(json.dumps({"image": WHOLE} | many).encode()) is None


def test_what_was_read_before_holds_up_nothing() -> None:
    body = json.dumps({"image": WHOLE, "ink": "dark"}).encode()
    strange = json.dumps({"image": WHOLE, "ink": {"a": 1}}).encode()
    held = [numbers_in(other) for other in (body, strange, b"[[1], 2]", b"[")]
    with pytest.raises(Problem) as problem:
        forms.decode_json(strange)
    assert numbers_in(body) is not None
    assert held[0] is not None
    assert held[0].pixels.tolist() == [WHOLE]
    assert problem.value.type.code == "invalid_ink"


def test_threads_read_beside_one_another() -> None:
    bodies = [json.dumps([n, *WHOLE[1:]]).encode() for n in range(200)]
    with ThreadPoolExecutor(4) as threads:
        read = list(threads.map(numbers_in, bodies))
    assert [numbers.pixels[0, 0] for numbers in read if numbers] == list(range(200))


def spoilt(draw: Callable[..., Any], value: Any) -> Any:
    """The value, something strange put in place of something in it."""
    if not isinstance(value, list) or not value or draw(st.booleans()):
        return draw(STRANGE)
    place = draw(st.integers(0, len(value) - 1))
    return [*value[:place], spoilt(draw, value[place]), *value[place + 1 :]]


@st.composite
def bodies(draw: Callable[..., Any]) -> bytes:
    value = draw(st.one_of(IMAGES, st.lists(IMAGES, max_size=3), st.builds(lambda: [WHOLE] * SIDE)))
    if draw(st.booleans()):
        value = spoilt(draw, value)
    if draw(st.booleans()):
        value = {draw(st.sampled_from(["image", "images", "img"])): value}
        value |= draw(
            st.dictionaries(st.sampled_from(["ink", "release", "[", "x", "\0", "image\0"]), STRANGE)
        )
    return json.dumps(value, allow_nan=False).encode()


def outcome(body: bytes) -> tuple[Any, ...]:
    try:
        sent = forms.decode_json(body)
    except Problem as problem:
        return problem.type.code, problem.detail
    return sent.images.shape, sent.images.tobytes(), sent.release


@given(bodies())
def test_both_ways_come_to_the_same(body: bytes) -> None:
    with patch.object(forms, "numbers_in", return_value=None):
        the_long_way = outcome(body)
    assert outcome(body) == the_long_way
