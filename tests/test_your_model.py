"""docs/your-model.md: another model is sold by what lies in model/ and one line of settings."""

import os
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import fonts
from model.normalisation import normalise
from tests.serving import ROOT, Server, drop_database, new_database

EXAMPLE = ROOT / "examples" / "capitals"
PRODUCT = ("accounts", "billing", "docs", "mnistapi", "model", "predictions", "manage.py")
LETTERS = "KRT"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product, after the commands of the document, and a release of digits that stayed."""
    root = tmp_path_factory.mktemp("capitals") / "product"
    root.mkdir()
    for name in (*PRODUCT, "gunicorn.conf.py"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    shutil.rmtree(root / "model" / "releases")
    shutil.copytree(EXAMPLE / "model", root / "model", dirs_exist_ok=True)
    left_behind = Path("model/releases/softmax-1")
    shutil.copytree(ROOT / left_behind, root / left_behind)
    return root


@pytest.fixture(scope="module")
def capitals(checkout: Path) -> Iterator[Server]:
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    settings = {"MODEL_RELEASE": "capitals-1", "MODEL_RUNTIME": "litert"}
    server = Server(url, checkout.parent, settings, workers=1, root=checkout)
    try:
        yield server.start()
    finally:
        server.stop()
        drop_database(here, url)


@pytest.fixture(scope="module")
def key(capitals: Server) -> str:
    return capitals.manage("create_key", "owner@example.com", "--live", "--plan", "volume")


def saved(images: Any) -> bytes:
    file = BytesIO()
    np.save(file, images)
    return file.getvalue()


def test_letters_are_recognised_logged_and_charged(capitals: Server, key: str) -> None:
    (face,) = fonts.faces("font_fjallaone")  # none of those that it was trained on
    pictures = np.stack([255 - fonts.letter(face, letter, 0) for letter in LETTERS])
    images = np.concatenate([normalise(pictures, "dark"), np.zeros([1, 28, 28], np.float32)])
    headers = {"Content-Type": "application/x-npy"}
    answer = capitals.post("/v1/predictions", saved(images), key, **headers)
    assert answer.status == 200, answer.raw
    body = answer.body
    assert body["release"] == "capitals-1"
    assert [one["letter"] for one in body["predictions"]] == [*LETTERS, None]
    assert body["predictions"][3]["reason"] == "blank"
    assert {len(one["probabilities"]) for one in body["predictions"]} == {26}
    assert body["usage"]["units"] == 4
    rows = capitals.rows("SELECT release, units FROM predictions_call WHERE status = 200")
    assert rows == [("capitals-1", 4)]


def test_what_is_said_of_the_api_is_of_letters(capitals: Server) -> None:
    (model,) = capitals.get("/v1/models").body["models"]
    assert (model["name"], model["labels"][25]) == ("capitals-1", "Z")
    document = capitals.get("/openapi.json").raw.decode()
    assert '"letter"' in document
    assert '"not_a_letter"' in document
    assert '"digit":' not in document
    card = capitals.get("/models/capitals-1")
    assert card.status == 200
    assert b"The hardest letters" in card.raw
    assert b"Q, taken for O" in card.raw


def test_a_release_of_digits_is_none_of_letters(capitals: Server, key: str) -> None:
    body = {"image": [0] * 784, "release": "softmax-1"}
    answer = capitals.post("/v1/predictions", body, key)
    assert (answer.status, answer.body["code"]) == (422, "unknown_release")


def test_the_switch_touches_nothing_but_the_model() -> None:
    assert [folder.name for folder in EXAMPLE.iterdir()] == ["model"]


def test_the_document_has_the_commands_that_are_tested() -> None:
    text = (ROOT / "docs" / "your-model.md").read_text()
    commands = re.findall(r"```sh\n(.*?)```", text, re.S)
    assert commands[0].splitlines() == [
        "rm -r model/releases",
        "cp -r examples/capitals/model .",
        "export MODEL_RELEASE=capitals-1",
        "make run",
    ]
