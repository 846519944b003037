import json
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mnistapi.problems import Problem
from predictions.endpoints import PREDICTIONS, Head
from predictions.forms import decode_blog, decode_json, decode_npy
from predictions.images import MAX_IMAGES, MAX_RELEASE_LENGTH, PIXELS, SIDE, Images
from tests.calls import opened
from tests.conftest import Holder

RNG = np.random.default_rng(7)
# A digit as MNIST has them: grey ink in the middle, a frame of paper around it.
INKED = np.zeros((SIDE, SIDE), dtype=int)
INKED[6:22, 12:16] = RNG.integers(100, 256, (16, 4))


def body(value: object) -> bytes:
    return json.dumps(value).encode()


def flat(image: np.ndarray) -> list[float]:
    return image.ravel().tolist()


def code(raw: bytes, read: object = decode_json) -> str:
    with pytest.raises(Problem) as caught:
        read(raw)  # type: ignore[operator]
    assert caught.value.type.status < 500
    return caught.value.type.code


def from_json(raw: bytes) -> Images:
    return decode_json(raw).images


def from_npy(raw: bytes) -> Images:
    return decode_npy(raw).images


def from_blog(raw: bytes) -> Images:
    return decode_blog(raw).images


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
    images = from_json(body(value))
    assert images.dtype == np.float32
    assert images.shape == (1, SIDE, SIDE, 1)
    np.testing.assert_allclose(images[0, :, :, 0], INKED / 255, atol=1e-7)


def test_a_hundred_images_keep_their_order() -> None:
    many = RNG.integers(0, 256, (100, SIDE, SIDE))
    many[:, [0, -1], :] = many[:, :, [0, -1]] = 0
    images = from_json(body(many.tolist()))
    np.testing.assert_allclose(images[..., 0], many / 255, atol=1e-7)


def test_flat_and_square_images_may_be_mixed() -> None:
    assert len(from_json(body([flat(INKED), INKED.tolist()]))) == 2


def test_twenty_eight_images_are_not_taken_for_one() -> None:
    assert len(from_json(body([flat(INKED)] * SIDE))) == SIDE
    assert len(from_json(body([INKED.tolist()] * SIDE))) == SIDE


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    bright, faint = flat(INKED), (INKED / 255).tolist()
    together = from_json(body([bright, faint, flat(255 - INKED)]))
    np.testing.assert_allclose(together[0], together[1], atol=1e-7)
    np.testing.assert_allclose(together[0], together[2], atol=1e-7)


def test_what_is_said_of_the_ink_is_believed() -> None:
    dark = from_json(body({"image": INKED.tolist(), "ink": "dark"}))
    np.testing.assert_allclose(dark[0, :, :, 0], 1 - INKED / 255, atol=1e-7)


@pytest.mark.parametrize("release", ["softmax-1", "x" * MAX_RELEASE_LENGTH, None])
def test_a_release_that_is_named_goes_with_the_call(release: str | None, owner: Holder) -> None:
    raw = body({"images": [flat(INKED)], "ink": "light", "release": release})
    head = Head("application/json", str(len(raw)), "", None)
    call = opened(owner, None)
    PREDICTIONS.fill(call, head, raw)
    assert (call.release, call.refusal) == (release, None)


def test_a_rounding_above_one_does_not_make_an_image_of_bytes() -> None:
    image = INKED / INKED.max()
    rounded = np.where(image == 1, 1.0000001, image)
    np.testing.assert_allclose(from_json(body(rounded.tolist()))[0, :, :, 0], image, atol=1e-6)


@pytest.mark.parametrize("most", [1, 2])
def test_an_image_of_whole_numbers_is_in_bytes_once_one_is_above_one(most: int) -> None:
    pixels = [0] * PIXELS
    pixels[400:403] = [1, most, 1]
    (image,) = decode_json(json.dumps(pixels).encode()).images
    white = 1 if most == 1 else 255
    assert image.ravel()[400:403].tolist() == [
        np.float32(number / white) for number in (1, most, 1)
    ]


def test_a_blank_page_is_paper_whatever_its_colour() -> None:
    assert not from_json(body([[0] * PIXELS, [255] * PIXELS, [1] * PIXELS])).any()


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
        (body({"image": [0] * PIXELS, "relese": "x"}), "unknown_field"),
        (body({"image": [0] * PIXELS, "release": ""}), "invalid_release"),
        (body({"image": [0] * PIXELS, "release": "x" * 101}), "invalid_release"),
        (body({"image": [0] * PIXELS, "release": 1}), "invalid_release"),
        (body({"image": [0] * PIXELS, "release": ["softmax-1"]}), "invalid_release"),
        (body({"image": [0] * PIXELS, "ink": "blue"}), "invalid_ink"),
        (body({"image": [0] * PIXELS, "ink": ["dark"]}), "invalid_ink"),
        (body({"image": [0] * PIXELS, "ink": 1}), "invalid_ink"),
        (body(["0"] * PIXELS), "not_a_number"),
        (body([True] * PIXELS), "not_a_number"),
        (body([0] * 783 + [False]), "not_a_number"),
        (body([0.5] * 783 + [True]), "not_a_number"),
        (body([0] * 783 + [None]), "not_a_number"),
        (body([0] * 783 + [[0]]), "not_a_number"),
        (body([0] * 783 + [{}]), "not_a_number"),
        (body([0] * 783 + [-1]), "pixel_out_of_range"),
        (body([0] * 783 + [256]), "pixel_out_of_range"),
        (body([0] * 783 + [255.5]), "pixel_out_of_range"),
        (body([0] * 783 + [-0.5]), "pixel_out_of_range"),
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
        decode_json(body(images))
    assert caught.value.type.code == "pixel_out_of_range"


@pytest.mark.parametrize("number", [-1, 256, -0.5, 1e3, 10**18])
def test_the_reason_quotes_the_pixel_as_it_was_sent(number: float) -> None:
    with pytest.raises(Problem, match=f"Pixel 3 of image 0 is {re.escape(str(number))};"):
        decode_json(body([0, 0, 0, number] + [0] * 780))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=60,
)


@given(json_values)
def test_no_json_breaks_the_decoder(value: object) -> None:
    for read in (decode_json, decode_blog):
        with pytest.raises(Problem):
            read(body(value))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(raw: bytes) -> None:
    for read in (decode_json, decode_blog):
        with pytest.raises(Problem):
            read(raw)


@given(st.binary(min_size=PIXELS, max_size=PIXELS))
def test_every_image_comes_out_between_paper_and_ink(pixels: bytes) -> None:
    images = from_json(body(list(pixels)))
    assert images.min() >= 0
    assert images.max() <= 1


def test_the_blog_s_arithmetic_and_nothing_else_is_done_to_its_input() -> None:
    pixels = RNG.integers(0, 256, PIXELS)
    expected = ((255 - pixels) / 255.0).reshape(1, SIDE, SIDE, 1)
    np.testing.assert_array_equal(from_blog(body(pixels.tolist())), expected.astype(np.float32))


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


def saved(array: object, **how: object) -> bytes:
    """The array as numpy saves it."""
    file = BytesIO()
    if how:
        np.lib.format.write_array(file, np.asarray(array), **how)  # type: ignore[arg-type]
    else:
        np.save(file, np.asarray(array))
    return file.getvalue()


def headed(header: bytes, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """A .npy file with that header, whatever it says."""
    size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + header + data


BYTES = INKED.astype(np.uint8)


@pytest.mark.parametrize(
    "array",
    [
        BYTES,
        BYTES.reshape(PIXELS),
        BYTES.reshape(1, PIXELS),
        BYTES.reshape(1, SIDE, SIDE),
        np.asfortranarray(BYTES),
        np.asfortranarray(np.stack([BYTES]).transpose(0, 2, 1)).transpose(0, 2, 1),
        255 - BYTES,
        INKED.astype(np.float16),
        INKED.astype(np.float32),
        INKED.astype(">f4"),
        INKED.astype(np.float64) / 255,
        1 - INKED.astype("<f8") / 255,
    ],
    ids=str,
)
def test_every_array_of_numpy_gives_what_json_gives(array: np.ndarray) -> None:
    images = from_npy(saved(array))
    assert images.dtype == np.float32
    assert images.shape == (1, SIDE, SIDE, 1)
    np.testing.assert_allclose(images, from_json(body(INKED.tolist())), atol=1e-6)


@given(
    npst.arrays(
        st.sampled_from([np.uint8, np.float32, np.float64]),
        st.tuples(st.integers(1, 3), st.just(PIXELS)),
        elements=st.integers(0, 255),
        fill=st.integers(0, 255),
    ),
    st.booleans(),
)
def test_arrays_and_json_are_decoded_alike(array: np.ndarray, in_columns: bool) -> None:
    raw = saved(np.asfortranarray(array) if in_columns else array)
    np.testing.assert_array_equal(from_npy(raw), from_json(body(array.tolist())))


def test_as_many_images_as_any_plan_allows_are_taken() -> None:
    assert len(from_npy(saved(np.zeros((MAX_IMAGES, PIXELS), np.uint8)))) == MAX_IMAGES
    assert len(from_npy(saved(BYTES.reshape(1, PIXELS), version=(2, 0)))) == 1


def with_pixel(value: float, pixel: int = 783) -> np.ndarray:
    pixels = np.zeros((2, PIXELS), np.float32)
    pixels[1, pixel] = value
    return pixels


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", "malformed_npy"),
        (b"\x93NUMPY", "malformed_npy"),
        (saved(BYTES)[:20], "malformed_npy"),
        (saved(BYTES)[:-1], "malformed_npy"),
        (saved(BYTES) + b"\0", "malformed_npy"),
        (saved(BYTES, version=(3, 0)), "malformed_npy"),
        (b"\x93NUMPY\x09\x00" + saved(BYTES)[8:], "malformed_npy"),
        (headed(b"{}"), "malformed_npy"),
        (headed(b"{'descr': ("), "malformed_npy"),
        (headed(b"(" * 200), "malformed_npy"),
        (headed(b"(" * 9_000), "malformed_npy"),
        (headed(b"-" * 9_000 + b"1"), "malformed_npy"),
        (headed(b"{[]: 1}"), "malformed_npy"),
        (headed(b" 1\n  2\n 3"), "malformed_npy"),
        (headed(b"\xff" * 50), "malformed_npy"),
        (headed(b"[]" + b" " * 20_000, version=(2, 0)), "malformed_npy"),
        (headed(b"{'descr': 7, 'fortran_order': False, 'shape': (784,)}"), "malformed_npy"),
        (headed(b"{'descr': '|u1', 'fortran_order': 0, 'shape': (784,)}"), "malformed_npy"),
        (headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': 784}"), "malformed_npy"),
        (headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 784)}"), "malformed_npy"),
        (
            headed(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2000, 784)}", b"\0" * 8),
            "malformed_npy",
        ),
        (
            headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (10**30, 784)}"),
            "malformed_npy",
        ),
        (headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (9e9, 784)}"), "malformed_npy"),
        (saved(np.zeros((MAX_IMAGES + 1, PIXELS), np.uint8)), "too_many_images"),
        (
            headed(b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 784)}" % 10**30),
            "too_many_images",
        ),
        (saved(np.zeros((0, PIXELS), np.uint8)), "wrong_shape"),
        (saved(np.zeros((), np.uint8)), "wrong_shape"),
        (saved(np.zeros(783, np.uint8)), "wrong_shape"),
        (saved(np.zeros((PIXELS, 1), np.uint8)), "wrong_shape"),
        (saved(np.zeros((27, SIDE), np.uint8)), "wrong_shape"),
        (saved(np.zeros((1, SIDE, SIDE, 1), np.uint8)), "wrong_shape"),
        (saved(np.zeros(PIXELS, bool)), "not_a_number"),
        (saved(np.zeros(PIXELS, np.int8)), "not_a_number"),
        (saved(np.zeros(PIXELS, np.int64)), "not_a_number"),
        (saved(np.zeros(PIXELS, complex)), "not_a_number"),
        (saved(np.zeros(PIXELS, "S4")), "not_a_number"),
        (saved(np.zeros(PIXELS, "datetime64[s]")), "not_a_number"),
        (saved(np.zeros(PIXELS, [("a", "u1")])), "not_a_number"),
        (saved(np.array([{}] * PIXELS, object)), "not_a_number"),
        (saved(with_pixel(np.nan)), "not_a_number"),
        (saved(with_pixel(np.inf)), "not_a_number"),
        (saved(with_pixel(-np.inf)), "not_a_number"),
        (saved(with_pixel(-0.5)), "pixel_out_of_range"),
        (saved(with_pixel(255.5)), "pixel_out_of_range"),
    ],
)
def test_what_is_no_array_of_images_is_refused_with_its_reason(raw: bytes, expected: str) -> None:
    assert code(raw, decode_npy) == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [(300.5, "Pixel 500 of image 1 is 300.5"), (np.nan, "Pixel 500 of image 1 is not a finite")],
)
def test_the_reason_names_image_and_pixel_of_an_array(value: float, reason: str) -> None:
    with pytest.raises(Problem, match=re.escape(reason)):
        decode_npy(saved(with_pixel(value, 500)))


def test_a_pickle_in_an_array_is_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    assert code(saved(np.array([Trap()] * PIXELS, object)), decode_npy) == "not_a_number"
    assert not (tmp_path / "sprung").exists()


@given(st.binary(max_size=200), st.sampled_from([(1, 0), (2, 0), (3, 0)]), st.booleans())
def test_no_bytes_break_the_decoder_of_arrays(
    raw: bytes, version: tuple[int, int], is_header: bool
) -> None:
    with pytest.raises(Problem):
        decode_npy(headed(raw, version=version) if is_header else b"\x93NUMPY" + raw)


@given(st.text("{}[]()'\"descr|u1<f8,:shape \n#\\-*lj0784", max_size=60))
def test_no_header_breaks_the_decoder_of_arrays(header: str) -> None:
    with pytest.raises(Problem):
        decode_npy(headed(header.encode()))
