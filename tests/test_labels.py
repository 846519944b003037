"""model/labels.py: which digit an image shows, or why none."""

import numpy as np
import pytest

from model import data, labels, litert
from model.labels import BLANK, UNKNOWN

TEN_LIKELY = np.full([1, 10], 0.1, np.float32)


def image(ink: float) -> np.ndarray:
    """One dot of ink on paper: [1, 28, 28, 1]."""
    image = np.zeros([1, 28, 28, 1], np.float32)
    image[0, 14, 14] = ink
    return image


@pytest.mark.parametrize(
    ("ink", "total", "reason"),
    [
        (0, 1, BLANK),
        (0, 0.2, BLANK),
        (0.099, 1, BLANK),
        (0.101, 1, None),
        (1, 1, None),
        (1, 0.501, None),
        (1, 0.499, UNKNOWN),
        (1, 0, UNKNOWN),
    ],
)
def test_an_image_without_ink_is_blank_and_one_of_something_else_no_digit(
    ink: float, total: float, reason: str | None
) -> None:
    assert labels.reasons(image(ink), TEN_LIKELY * np.float32(total)) == [reason]


def test_each_image_of_several_is_judged_by_itself() -> None:
    images = np.concatenate([image(1), image(0), image(1)])
    probabilities = np.concatenate([TEN_LIKELY, TEN_LIKELY, TEN_LIKELY / 3])
    assert labels.reasons(images, probabilities) == [None, BLANK, UNKNOWN]


def test_no_digit_of_mnist_is_blank_and_each_has_much_more_ink_than_that_takes() -> None:
    images = data.scaled(data.load().test.images)
    assert images.max(axis=(1, 2, 3)).min() > 9 * labels.LEAST_INK
    reasons = labels.reasons(images, litert.restore("softmax-1").predict(images))
    assert set(reasons) == {None}
