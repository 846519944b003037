import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnistapi.problems import Problem
from predictions.images import MAX_IMAGES, PIXELS, SIDE, decode, decode_blog

RNG = np.random.default_rng(7)
# A digit as MNIST has them: grey ink in the middle, a frame of paper around it.
INKED = np.zeros((SIDE, SIDE), dtype=int)
INKED[6:22, 12:16] = RNG.integers(100, 256, (16, 4))


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def flat(image: np.ndarray) -> list[float]:
    return image.ravel().tolist()


def code(raw: bytes, read: object = decode) -> str:
    with pytest.raises(Problem) as caught:
        read(raw)  # type: ignore[operator]
    assert caught.value.type.status < 500
    return caught.value.type.code


@pytest.mark.parametrize(
    "value",
    [
        flat(INKED),
        INKED.tolist(),
        [flat(INKED)],
        [INKED.tolist()],
        {"image": flat(INKED)},
        {"image": INKED.tolist()},
        {"images": [INKED.tolist()]},
        {"images": [flat(INKED)], "ink": "light"},
        (INKED / 255).tolist(),
        (255 - INKED).tolist(),
        {"image": (255 - INKED).tolist(), "ink": "dark"},
        {"image": (1 - INKED / 255).tolist(), "ink": None},
    ],
)
def test_every_form_of_an_image_gives_the_same_array(value: object) -> None:
    images = decode(body(value))
    assert images.dtype == np.float32
    assert images.shape == (1, SIDE, SIDE, 1)
    np.testing.assert_allclose(images[0, :, :, 0], INKED / 255, atol=1e-7)


def test_a_hundred_images_keep_their_order() -> None:
    many = RNG.integers(0, 256, (MAX_IMAGES, SIDE, SIDE))
    many[:, [0, -1], :] = many[:, :, [0, -1]] = 0
    images = decode(body(many.tolist()))
    np.testing.assert_allclose(images[..., 0], many / 255, atol=1e-7)


def test_flat_and_square_images_may_be_mixed() -> None:
    assert len(decode(body([flat(INKED), INKED.tolist()]))) == 2


def test_twenty_eight_images_are_not_taken_for_one() -> None:
    assert len(decode(body([flat(INKED)] * SIDE))) == SIDE
    assert len(decode(body([INKED.tolist()] * SIDE))) == SIDE


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    bright, faint = flat(INKED), (INKED / 255).tolist()
    together = decode(body([bright, faint, flat(255 - INKED)]))
    np.testing.assert_allclose(together[0], together[1], atol=1e-7)
    np.testing.assert_allclose(together[0], together[2], atol=1e-7)


def test_what_is_said_of_the_ink_is_believed() -> None:
    dark = decode(body({"image": INKED.tolist(), "ink": "dark"}))
    np.testing.assert_allclose(dark[0, :, :, 0], 1 - INKED / 255, atol=1e-7)


def test_a_rounding_above_one_does_not_make_an_image_of_bytes() -> None:
    image = INKED / INKED.max()
    rounded = np.where(image == 1, 1.0000001, image)
    np.testing.assert_allclose(decode(body(rounded.tolist()))[0, :, :, 0], image, atol=1e-6)


def test_a_blank_page_is_paper_whatever_its_colour() -> None:
    assert not decode(body([[0] * PIXELS, [255] * PIXELS, [1] * PIXELS])).any()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"NaN", "malformed_json"),
        (b"[NaN]", "malformed_json"),
        (b"[Infinity]", "malformed_json"),
        (b"\xff\xfe", "malformed_json"),
        (b'{"image": "\xff"}', "malformed_json"),
        (b"[" * 20_000, "malformed_json"),
        (b"[" * 20_000 + b"]" * 20_000, "malformed_json"),
        (b"[" * 900 + b"]" * 900, "wrong_shape"),
        (b"[" + b"0," * 783 + b"9" * 5000 + b"]", "malformed_json"),
        (body([0] * 783) + b"]", "malformed_json"),
        (b"null", "wrong_shape"),
        (b"true", "wrong_shape"),
        (b"7", "wrong_shape"),
        (b'"text"', "wrong_shape"),
        (b"[]", "wrong_shape"),
        (b"[[]]", "wrong_shape"),
        (b"{}", "wrong_shape"),
        (b"[null]", "wrong_shape"),
        (body([0] * 783), "wrong_shape"),
        (body([0] * 785), "wrong_shape"),
        (body([[0] * 27] * 28), "wrong_shape"),
        (body([[0] * 28] * 27), "wrong_shape"),
        (body([[0] * 28] * 27 + [[0] * 29]), "wrong_shape"),
        (body([[[0] * 28] * 28, 0]), "wrong_shape"),
        (body([[[[0] * 28] * 28]]), "wrong_shape"),
        (body({"image": [[0] * PIXELS] * 2}), "wrong_shape"),
        (body({"image": [0] * PIXELS, "images": [0] * PIXELS}), "wrong_shape"),
        (body({"ink": "dark"}), "wrong_shape"),
        (body({"images": {}}), "wrong_shape"),
        (body({"image": [0] * PIXELS, "release": "x"}), "unknown_field"),
        (body({"image": [0] * PIXELS, "ink": "blue"}), "invalid_ink"),
        (body({"image": [0] * PIXELS, "ink": ["dark"]}), "invalid_ink"),
        (body({"image": [0] * PIXELS, "ink": 1}), "invalid_ink"),
        (body(["0"] * PIXELS), "not_a_number"),
        (body([True] * PIXELS), "not_a_number"),
        (body([0] * 783 + [None]), "not_a_number"),
        (body([0] * 783 + [[0]]), "not_a_number"),
        (body([0] * 783 + [{}]), "not_a_number"),
        (body([0] * 783 + [-1]), "pixel_out_of_range"),
        (body([0] * 783 + [256]), "pixel_out_of_range"),
        (body([0] * 783 + [1e300]), "pixel_out_of_range"),
        (body([0] * 783 + [10**18]), "pixel_out_of_range"),
        (body([[0] * PIXELS] * (MAX_IMAGES + 1)), "too_many_images"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(raw: bytes, expected: str) -> None:
    assert code(raw) == expected


def test_a_number_too_large_for_a_float_is_refused() -> None:
    assert code(b"[" + b"0," * 783 + b"1e999]") in {"malformed_json", "pixel_out_of_range"}


def test_the_reason_names_image_and_pixel() -> None:
    images = [[0] * PIXELS, [0] * 500 + [300] + [0] * 283]
    with pytest.raises(Problem, match=r"Pixel 500 of image 1 is 300") as caught:
        decode(body(images))
    assert caught.value.type.code == "pixel_out_of_range"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=60,
)


@given(json_values)
def test_no_json_breaks_the_decoder(value: object) -> None:
    for read in (decode, decode_blog):
        with pytest.raises(Problem):
            read(body(value))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    for read in (decode, decode_blog):
        with pytest.raises(Problem):
            read(raw)


@given(st.lists(st.integers(0, 255), min_size=PIXELS, max_size=PIXELS))
def test_every_image_comes_out_between_paper_and_ink(pixels: list[int]) -> None:
    images = decode(body(pixels))
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_blog_s_arithmetic_and_nothing_else_is_done_to_its_input() -> None:
    pixels = RNG.integers(0, 256, PIXELS)
    expected = ((255 - pixels) / 255.0).reshape(1, SIDE, SIDE, 1)
    np.testing.assert_array_equal(decode_blog(body(pixels.tolist())), expected.astype(np.float32))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (INKED.tolist(), "wrong_shape"),
        ([flat(INKED)], "wrong_shape"),
        ({"image": flat(INKED)}, "wrong_shape"),
        ([0] * 783, "wrong_shape"),
        ([[0]] * PIXELS, "not_a_number"),
        (["0"] * PIXELS, "not_a_number"),
        ([0] * 783 + [256], "pixel_out_of_range"),
    ],
)
def test_the_blog_s_contract_is_784_numbers_only(value: object, expected: str) -> None:
    assert code(body(value), decode_blog) == expected
