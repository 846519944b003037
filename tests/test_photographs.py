"""Digits as people have them, through the running server: files and photographs."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from model import data
from tests.photographs import SCENES, photograph
from tests.pictures import MULTIPART, form, jpeg, png
from tests.serving import Server

MANY = 200
FORM = {"Content-Type": MULTIPART}


@pytest.fixture(scope="module")
def digits() -> data.Digits:
    return data.load().test.part(0, MANY)


def recognised(answers: list[Any]) -> Any:
    assert [answer.status for answer in answers] == [200] * len(answers), answers[0].raw
    return np.array([one["digit"] for answer in answers for one in answer.body["predictions"]])


def in_forms(server: Server, key: str, files: list[bytes]) -> Any:
    """The digits that are seen in these files, sent a hundred at a time."""
    parts = [form(files[start : start + 100]) for start in range(0, len(files), 100)]
    return recognised([server.post("/v1/predictions", part, key, **FORM) for part in parts])


@pytest.mark.parametrize("saved", [png, jpeg])
def test_a_digit_is_recognised_as_a_file_as_well_as_by_its_numbers(
    saved: Any, digits: data.Digits, server: Server, server_key: str
) -> None:
    numbers = recognised([server.post("/v1/predictions", digits.images.tolist(), server_key)])
    files = in_forms(server, server_key, [saved(image) for image in digits.images])
    assert (files == numbers).mean() >= 0.99
    right = [(seen == digits.labels).sum() for seen in (files, numbers)]
    assert abs(right[0] - right[1]) <= 1


@pytest.mark.parametrize("scene", SCENES)
def test_a_digit_is_recognised_in_a_photograph(
    scene: str, digits: data.Digits, server: Server, server_key: str
) -> None:
    rng = np.random.default_rng(5)
    pictures = [
        photograph(image, SCENES[scene], int(rng.integers(300, 450)), rng)
        for image in digits.images[:50]
    ]
    seen = in_forms(server, server_key, [jpeg(picture) for picture in pictures])
    assert (seen == digits.labels[:50]).mean() >= 0.8
    only_scaled = [np.asarray(Image.fromarray(picture).resize((28, 28))) for picture in pictures]
    before = recognised(
        [server.post("/v1/predictions", np.array(only_scaled).tolist(), server_key)]
    )
    assert (before == digits.labels[:50]).mean() <= 0.4
