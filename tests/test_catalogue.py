"""The releases as everybody sees them: `GET /v1/models`, their list and their cards."""

import base64
import html
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from django.conf import settings
from django.test import Client
from PIL import Image

from model import serving
from predictions import cards
from tests.pages import Page
from tests.releases import add
from tests.test_openapi import document
from tests.test_pages import check_structure

CARD = json.loads((serving.RELEASES / "softmax-1" / "card.json").read_text())


def text(answer: Any) -> str:
    return html.unescape(answer.content.decode())


# For programs


def test_the_releases_are_listed_without_a_key_the_current_one_first(
    release: str, client: Client
) -> None:
    answer = client.get("/v1/models")
    assert answer.status_code == 200
    models = answer.json()["models"]
    assert {model["name"] for model in models} == set(serving.loaded().by_name)
    assert [model["current"] for model in models] == [True] + [False] * (len(models) - 1)
    first = models[0]
    assert first["name"] == release == "softmax-1"
    assert first["accuracy"] == {
        "share": CARD["accuracy"]["share"],
        "interval": CARD["accuracy"]["interval"],
        "images": 10_000,
    }
    assert first["url"] == f"{settings.PUBLIC_URL}/models/softmax-1"
    assert first["labels"] == list(range(10))
    assert first["rejects"] is False


def test_the_list_is_as_documented_and_may_be_kept_for_a_minute(
    release: str, client: Client
) -> None:
    answer = client.get("/v1/models")
    operation = document()["paths"]["/v1/models"]["get"]
    content = operation["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answer.json(), content["schema"])
    assert not operation.get("security")
    assert set(answer["Cache-Control"].split(", ")) == {"public", "max-age=60"}
    assert "Cookie" not in answer.get("Vary", "")


def test_a_release_without_a_card_is_listed_and_measured_by_nobody(
    releases: Path, client: Client
) -> None:
    serving.load("b-1", "litert")
    first, second = client.get("/v1/models").json()["models"]
    assert (first["name"], first["current"], first["accuracy"]) == ("b-1", True, None)
    assert (second["name"], second["current"], second["network"]) == ("a-1", False, None)


def test_another_method_is_refused(release: str, client: Client) -> None:
    answer = client.post("/v1/models")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


# For people


def test_the_list_of_the_releases_leads_to_their_cards(release: str, client: Client) -> None:
    page = text(client.get("/models/"))
    for name in serving.loaded().by_name:
        assert f'href="/models/{name}"' in page
        assert client.get(f"/models/{name}").status_code == 200


def test_a_card_shows_what_was_measured(release: str, client: Client) -> None:
    page = text(client.get("/models/softmax-1"))
    assert "<h1>softmax-1 " in page
    assert "92.40\N{NO-BREAK SPACE}%" in page
    assert "9,240 of 10,000" in page
    assert "91.86\N{NO-BREAK SPACE}% to 92.90\N{NO-BREAK SPACE}%" in page
    assert ">960</td>" in page
    for one in CARD["rejection"]:
        assert one["source"] in page
    assert page.count("data:image/png;base64,") == len(CARD["hardest"])
    assert CARD["data"]["train"]["sha256"] in page
    assert CARD["versions"]["tensorflow"] in page


@pytest.mark.parametrize("path", ["/models/", "/models/softmax-1"])
def test_a_page_suits_a_screen_reader_and_loads_nothing_from_elsewhere(
    path: str, release: str, client: Client
) -> None:
    answer = client.get(path)
    check_structure(answer)
    page = Page(answer.content.decode())
    assert [address for address in page.elsewhere if not address.startswith("data:image")] == []
    assert page.inline == []


def test_a_release_without_a_card_has_a_page_that_says_so(releases: Path, client: Client) -> None:
    serving.load("a-1", "litert")
    answer = client.get("/models/b-1")
    assert answer.status_code == 200
    assert "no card" in text(answer)


@pytest.mark.parametrize(
    "name", ["none-1", "..", "..%2fsoftmax-1", "softmax-1%2fcard.json", "softmax-1/card.json"]
)
def test_a_release_that_is_not_there_has_no_page(name: str, release: str, client: Client) -> None:
    assert client.get(f"/models/{name}").status_code == 404


def test_the_front_page_and_every_footer_lead_to_the_models(client: Client) -> None:
    assert text(client.get("/")).count('href="/models/"') == 2


# What is drawn


def test_the_matrix_marks_what_is_right_and_shades_what_is_frequent() -> None:
    zeros = [[0] * 11 for _ in range(8)]
    rows = cards.confusion({"confusion": [[97, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1], [0] * 11, *zeros]})
    assert [row.label for row in rows] == list(range(10))
    right, zero, two = rows[0].cells[:3]
    none = rows[0].cells[10]
    assert (right.is_right, right.shade) == (True, 4)
    assert (zero.is_right, zero.shade) == (False, 0)
    assert (two.is_right, two.shade) == (False, 5)
    assert (none.is_right, none.count, none.shade) == (False, 1, 4)
    assert rows[1].cells[1].shade == 0  # of a label without images


def test_a_dot_is_on_the_line_if_its_confidence_is_true_and_large_if_it_stands_for_many() -> None:
    bins = [
        {"count": 0, "confidence": 0.0, "accuracy": 0.0},
        {"count": 100, "confidence": 0.5, "accuracy": 0.5},
        {"count": 400, "confidence": 1.0, "accuracy": 0.75},
    ]
    half, sure = cards.calibration({"calibration": {"bins": bins}})
    plot = cards.PLOT
    assert half.x - plot.left == plot.bottom - half.y == (plot.right - plot.left) / 2
    assert (sure.x, sure.y) == (plot.right, plot.bottom - 0.75 * (plot.bottom - plot.top))
    assert sure.radius == 2 * half.radius == cards.LARGEST_DOT


def test_a_hard_digit_is_drawn_with_dark_ink() -> None:
    one = CARD["hardest"][0]
    given = np.frombuffer(base64.b64decode(one["pixels"]), np.uint8).reshape(28, 28)
    drawn = cards.hardest(CARD)[0]
    png = base64.b64decode(drawn.picture.partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(png))), 255 - given)
    assert (drawn.label, drawn.answer) == (one["label"], one["answer"])


def test_facts_that_nest_are_named_by_all_their_names_and_a_table_is_a_line_a_row() -> None:
    runs = [{"seed": 1, "held_out": 0.5}, {"seed": 2, "held_out": 0.6}]
    card = {"seed": 1, "train": {"sha_256": "ab", "images": 2}, "runs": runs}
    assert cards.facts(card) == [
        ("seed", 1),
        ("train sha 256", "ab"),
        ("train images", 2),
        ("runs", "seed 1, held out 0.5"),
        ("runs", "seed 2, held out 0.6"),
    ]


def test_nothing_is_drawn_of_an_empty_card() -> None:
    assert not cards.confusion({})
    assert not cards.calibration({})
    assert not cards.hardest({})
    assert not cards.rejections({})
    assert not cards.runtimes({})


def test_a_card_names_the_release_whose_folder_it_is_in(
    releases: Path, tmp_path: Path, client: Client
) -> None:
    elsewhere = add(tmp_path / "elsewhere", "a-1")
    (elsewhere / "card.json").write_text('{"date": "2026-01-02"}')
    serving.load(str(elsewhere), "litert")
    first = client.get("/v1/models").json()["models"][0]
    assert (first["name"], first["date"]) == ("a-1", "2026-01-02")
