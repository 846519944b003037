"""model/normalisation.py: what a picture of a digit becomes, whatever it was."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from model.neighbourhoods import labelled
from model.normalisation import VIEW, normalise
from model.placement import CENTRE, DIGIT, centre_of_mass, longer_side
from tests.pictures import THREE

QUIET = settings(max_examples=25)


def drawn(size: int, height: int, width: int, top: int, left: int) -> Any:
    """The three, its box `size` high, anywhere on a black page."""
    rows, columns = np.flatnonzero(THREE.any(1)), np.flatnonzero(THREE.any(0))
    box = THREE[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scaled = Image.fromarray(box).resize((size * box.shape[1] // box.shape[0], size), 2)
    page = np.zeros((height, width), np.uint8)
    page[top : top + scaled.height, left : left + scaled.width] = np.asarray(scaled)
    return page


PAGE = drawn(100, 240, 200, 70, 60)
EXPECTED = normalise(PAGE[None])[0]


def seen(page: Any, **more: Any) -> Any:
    return normalise(np.asarray(page, np.uint8)[None], **more)[0]


def assert_same(image: Any, mean: float = 0.02) -> None:
    assert np.abs(image - EXPECTED).mean() < mean


@QUIET
@given(
    npst.arrays(
        np.uint8,
        st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    ),
    st.sampled_from([None, "dark", "light"]),
)
def test_any_picture_becomes_something_finite_in_0_to_1(pictures: Any, ink: str | None) -> None:
    images = normalise(pictures, ink)
    assert images.dtype == np.float32
    assert images.shape == (len(pictures), 28, 28)
    assert np.isfinite(images).all()
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3000), (3000, 1), (2, 900), (281, 280), (2000, 1500)]
)
def test_no_shape_is_too_strange(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1, *shape), dtype=np.uint8)
    assert normalise(noise).shape == (1, 28, 28)


@pytest.mark.parametrize("light", [0, 1, 128, 255])
@pytest.mark.parametrize("shape", [(28, 28), (300, 400)])
def test_a_blank_page_gives_zeros(light: int, shape: tuple[int, int]) -> None:
    page = np.full((1, *shape), light, np.uint8)
    for ink in (None, "dark", "light"):
        assert not normalise(page, ink).any()


@pytest.mark.parametrize("noise", [2, 8])
def test_grain_and_shadows_are_no_ink(noise: float) -> None:
    page = 230 * np.linspace(1, 0.5, 400)[:, None] * np.linspace(1, 0.8, 300)
    page += np.random.default_rng(2).normal(0, noise, page.shape)
    assert not seen(page.clip(0, 255)).any()


@pytest.mark.parametrize("across", [True, False])
def test_a_page_that_is_overexposed_where_no_shadow_falls_is_blank(across: bool) -> None:
    random = np.random.default_rng(2)
    for light, dimmest in ((225, 0.71), (237, 0.75), (246, 0.81), (248, 0.9), (249, 0.75)):
        shadow = light * np.linspace(2 - dimmest, dimmest, 84) * np.ones([84, 1])
        page = (shadow + random.normal(0, 3, shadow.shape)).clip(0, 255)
        assert 0.2 < (page == 255).mean() < 0.5
        assert not seen(page if across else page.T).any()


def test_a_digit_on_such_a_page_is_seen() -> None:
    shadow = 230 * np.linspace(1.4, 0.6, 200) * np.ones([240, 1])
    grain = np.random.default_rng(2).normal(0, 4, shadow.shape)
    assert_same(seen((shadow * (1 - PAGE / 255.0 * 0.8) + grain).clip(0, 255)), 0.04)


@QUIET
@given(st.integers(40, 190), st.data())
def test_size_and_place_change_nothing(size: int, data: Any) -> None:
    top, left = data.draw(st.integers(4, 236 - size)), data.draw(st.integers(4, 236 - size))
    assert_same(seen(drawn(size, 240, 240, top, left)))


@QUIET
@given(st.integers(1, 4))
def test_a_larger_picture_of_the_same_changes_little(times: int) -> None:
    assert_same(seen(np.kron(PAGE, np.ones((times, times), np.uint8))))


@QUIET
@given(st.integers(0, 150), st.integers(50, 105))
def test_neither_brightness_nor_contrast_changes_much(darkest: int, contrast: int) -> None:
    faint = darkest + np.round(PAGE / 255.0 * contrast)
    assert_same(seen(faint), 0.03)
    assert_same(seen(255 - faint), 0.03)


@pytest.mark.parametrize("ink", ["dark", "light"])
def test_what_is_said_of_the_ink_is_believed(ink: str) -> None:
    page = PAGE if ink == "light" else 255 - PAGE
    np.testing.assert_array_equal(seen(page, ink=ink), seen(page))
    other = {"dark": "light", "light": "dark"}[ink]
    assert np.abs(seen(page, ink=other) - EXPECTED).mean() > 0.05


def test_its_own_work_stays_as_it_is() -> None:
    again = seen(np.round(EXPECTED * 255))
    np.testing.assert_allclose(again, EXPECTED, atol=0.02)


def test_a_digit_is_as_large_and_as_central_as_in_mnist() -> None:
    image = EXPECTED[None]
    assert abs(longer_side(np.where(image > 0.1, image, 0))[0] - DIGIT) <= 1
    assert np.allclose(centre_of_mass(image), CENTRE, atol=0.2)


def test_shadows_change_little() -> None:
    paper = 220 * np.linspace(1, 0.45, 240)[:, None] * np.linspace(1, 0.8, 200)
    paper[:, 90:] *= 0.7  # an edge across the digit
    assert_same(seen(paper * (1 - PAGE / 255.0 * 0.8)), 0.04)


def test_specks_are_ignored_and_parts_are_not() -> None:
    specks = 255 - PAGE
    for row, column in np.random.default_rng(3).integers(5, 190, (12, 2)):
        specks[row : row + 2, column : column + 3] &= 90
    assert_same(seen(specks), 0.03)
    five = np.zeros((200, 200), np.uint8)
    five[60:150, 60:70] = 255
    bar = five.copy()
    bar[60:70, 80:110] = 255
    assert seen(bar)[:, 17:].sum() > seen(five)[:, 17:].sum() + 5


def test_the_table_beside_the_paper_is_no_digit() -> None:
    page = 255 - PAGE
    page[225:, 60:160] = 0
    assert_same(seen(page), 0.03)


def test_thin_strokes_become_thicker_and_thick_ones_stay() -> None:
    def ring(width: float) -> Any:
        down, across = np.mgrid[-100:100, -100:100]
        return np.where(abs(np.hypot(down, across) - 70) < width / 2, 255, 0)

    thin, usual, thick = (seen(ring(width)).sum() for width in (2, 16, 40))
    assert thin > 0.7 * usual
    assert thick > 1.5 * usual


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    other = np.roll(PAGE, 20, axis=1)
    together = normalise(np.stack([PAGE, 255 - other, np.zeros_like(PAGE)]))
    for image, alone in zip(together, [PAGE, 255 - other, np.zeros_like(PAGE)], strict=True):
        np.testing.assert_array_equal(image, seen(alone))


def test_only_what_is_looked_at_is_held_in_memory() -> None:
    """Many pictures are taken in turns, and give what they give alone."""
    many = np.repeat(PAGE[None], 12, axis=0)
    assert PAGE.size * 12 > 2**18
    np.testing.assert_array_equal(normalise(many), np.repeat(EXPECTED[None], 12, axis=0))
    assert max(PAGE.shape) < VIEW


masks = npst.arrays(bool, st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9)))


@given(masks)
def test_parts_are_told_apart_as_by_walking_through_them(mask: Any) -> None:
    labels = labelled(mask)
    assert ((labels > 0) == mask).all()
    for picture, numbers in zip(mask, labels, strict=True):
        for place in np.argwhere(picture):
            walked = walk(picture, tuple(place))
            assert {tuple(p) for p in np.argwhere(numbers == numbers[tuple(place)])} == walked


def walk(mask: Any, start: tuple[int, int]) -> set[tuple[int, int]]:
    reached, ahead = {start}, [start]
    while ahead:
        row, column = ahead.pop()
        for step in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
            inside = 0 <= step[0] < mask.shape[0] and 0 <= step[1] < mask.shape[1]
            if inside and mask[step] and step not in reached:
                reached.add(step)
                ahead.append(step)
    return reached
