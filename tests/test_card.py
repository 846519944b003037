"""model/card.py and model/measurements.py: what a card says is what the release answers."""

import base64
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model import card, data, litert, measurements, outliers, serving, strangers
from model.fonts import fonts_in
from model.measurements import REJECTED

Floats = NDArray[np.float32]
RELEASES = sorted(folder.name for folder in serving.RELEASES.glob("*/"))


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


def rows(*rows: dict[int, float]) -> Floats:
    """Probabilities [n, 10], from those of some digits."""
    probabilities = np.zeros([len(rows), 10], np.float32)
    for row, given in enumerate(rows):
        for digit, probability in given.items():
            probabilities[row, digit] = probability
    return probabilities


def bytes_of(*labels: int) -> NDArray[np.uint8]:
    return np.array(labels, np.uint8)


@pytest.mark.parametrize("name", RELEASES)
def test_the_card_of_a_release_says_what_its_export_answers(name: str, mnist: data.Mnist) -> None:
    told = card.read(serving.RELEASES / name)
    probabilities = litert.restore(name).predict(data.scaled(mnist.test.images))
    measured = card.of_digits(probabilities, mnist.test)
    assert told["accuracy"] == measured["accuracy"]
    assert told["confusion"] == measured["confusion"]
    assert told["calibration"]["expected_error"] == pytest.approx(
        measured["calibration"]["expected_error"], abs=1e-5
    )
    assert [hard["index"] for hard in told["hardest"]] == [h["index"] for h in measured["hardest"]]


@pytest.mark.parametrize("name", RELEASES)
def test_the_card_of_a_release_names_the_data_by_their_hashes(name: str, mnist: data.Mnist) -> None:
    told = card.read(serving.RELEASES / name)["data"]
    assert told["train"] == {"images": 60_000, "sha256": mnist.train.sha256()}
    assert told["test"] == {"images": 10_000, "sha256": mnist.test.sha256()}


@pytest.mark.parametrize("name", RELEASES)
def test_the_hardest_digits_can_be_drawn_from_the_card_alone(name: str, mnist: data.Mnist) -> None:
    hardest = card.read(serving.RELEASES / name)["hardest"]
    assert len(hardest) == card.HARDEST
    for hard in hardest:
        pixels = np.frombuffer(base64.b64decode(hard["pixels"]), np.uint8).reshape(28, 28)
        np.testing.assert_array_equal(pixels, mnist.test.images[hard["index"]])
        assert hard["label"] == mnist.test.labels[hard["index"]]


def test_a_row_of_less_than_a_half_is_no_digit() -> None:
    probabilities = rows({3: 0.6}, {3: 0.3, 5: 0.19}, {3: 0.3, 5: 0.21}, {7: 1.0})
    assert measurements.answers(probabilities).tolist() == [3, REJECTED, 3, 7]


def test_a_digit_that_is_rejected_counts_as_an_error(mnist: data.Mnist) -> None:
    few = data.Digits(mnist.test.images[:4], bytes_of(3, 3, 5, 5))
    measured = card.of_digits(rows({3: 0.9}, {3: 0.4}, {3: 0.9}, {5: 0.8}), few)
    assert measured["accuracy"]["right"] == 2
    assert measured["accuracy"]["rejected"] == 1
    assert measured["confusion"][3] == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert measured["confusion"][5] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0]
    assert measured["hardest"][0]["index"] == 2
    assert [hard["answer"] for hard in measured["hardest"]] == [3, None, 5, 3]
    assert measured["hardest"][1]["confidence"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [  # from the table of Newcombe (1998), and what the formula comes to at the ends
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_interval_is_wilson_s(right: int, total: int, low: float, high: float) -> None:
    assert measurements.wilson(right, total) == pytest.approx((low, high), abs=5e-5)


def test_confidence_is_held_against_accuracy_in_each_bin() -> None:
    probabilities = rows({1: 0.85}, {1: 0.85}, {2: 0.95}, {2: 0.55}, {2: 0.3})
    bins = measurements.calibration(probabilities, bytes_of(1, 2, 2, 2, 2))
    assert [(b.low, b.high, b.count) for b in bins if b.count] == [
        (0.5, 0.6, 1),
        (0.8, 0.9, 2),
        (0.9, 1.0, 1),
    ]
    assert bins[8].confidence == pytest.approx(0.85)
    assert bins[8].accuracy == 0.5
    error = measurements.expected_calibration_error(bins)
    assert error == pytest.approx((0.45 + 2 * 0.35 + 0.05) / 4)


class Undecided:
    """Says that the images whose first pixel is ink are sevens, and others nothing."""

    name = "undecided"

    def predict(self, images: Floats) -> Floats:
        probabilities = np.zeros([len(images), 10], np.float32)
        probabilities[:, 7] = images[:, 0, 0, 0]
        return probabilities


def test_what_is_blank_or_no_digit_counts_as_rejected() -> None:
    images = np.zeros([4, 28, 28, 1], np.float32)
    images[:3, 0, 0, 0] = (1.0, 0.7, 0.3)
    (told,) = card.rejections(Undecided(), {"dots": images})
    assert told == {"source": "dots", "images": 4, "rejected": 2, "sure_of_a_digit": 1}


def test_what_releases_are_tested_with_is_the_same_each_time(mnist: data.Mnist) -> None:
    once, twice = strangers.strangers(mnist.test, 3), strangers.strangers(mnist.test, 3)
    assert len(once) == len(strangers.SOURCES)
    for source, images in once.items():
        assert images.shape == (3, 28, 28, 1)
        assert images.dtype == np.float32
        assert 0 <= images.min() <= images.max() <= 1
        np.testing.assert_array_equal(images, twice[source])


def test_no_font_is_both_trained_on_and_tested_with() -> None:
    assert not set(outliers.FONTS) & {*strangers.PRINT, *strangers.HAND}


def test_a_font_that_is_missing_says_how_to_install_it() -> None:
    with pytest.raises(data.DataMissing, match=r"pip install --no-deps -r requirements-data\.txt"):
        fonts_in("font_of_nobody")


def test_photographs_that_are_missing_say_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(data.DataMissing, match=r"pip install --no-deps -r requirements-data\.txt"):
        strangers.shipped("camera.png")


def test_a_card_that_is_no_json_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(serving.ReleaseUnusable):
        card.read(tmp_path)
