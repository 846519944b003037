"""mnistapi/releases.py: a process follows serving.json."""

import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mnistapi import releases as following
from mnistapi.releases import Watch
from model import last_good, serving, serving_file
from model.serving_file import FILE_NAME
from tests.releases import add, add_broken, choose
from tests.serving import ROOT


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker has loaded anything before, and this process looks at the file when it is told."""
    monkeypatch.setattr(last_good, "_shared", mmap.mmap(-1, last_good.NAME_BYTES))
    monkeypatch.setattr(Watch, "go_on_looking", lambda watch: None)
    monkeypatch.setattr(following, "_watch", None)


@pytest.fixture
def watch(releases: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """That of this process, which has begun with `a-1`."""
    watch = Watch("litert")
    monkeypatch.setattr(following, "_watch", watch)
    watch.begin()
    assert serving.current().name == "a-1"
    return watch


def readiness(client: Client) -> tuple[int, str, str | None]:
    """Status, release and what failed, as /readyz says it."""
    answer = client.get("/readyz")
    body = answer.json()
    assert (body["ready"], body["model"]) == (True, True)
    return answer.status_code, body["release"], body.get("release_failed")


def test_the_release_changes_with_the_file(
    watch: Watch, releases: Path, client: Client, db: None
) -> None:
    choose(releases, "b-1")
    watch.look()
    assert readiness(client) == (200, "b-1", None)
    choose(releases, "a-1")
    watch.look()
    assert readiness(client) == (200, "a-1", None)


def test_while_the_file_is_as_it_was_nothing_is_done(watch: Watch, monkeypatch: Any) -> None:
    monkeypatch.setattr(watch, "follow", lambda: 1 / 0)
    watch.look()
    assert not watch.failed


def test_a_change_between_the_first_load_and_the_first_look_is_not_missed(releases: Path) -> None:
    watch = Watch("litert")
    choose(releases, "b-1")
    serving.load("a-1", "litert")
    watch.look()
    assert serving.current().name == "b-1"


def test_a_change_is_followed_once(watch: Watch, releases: Path, monkeypatch: Any) -> None:
    followed = []
    monkeypatch.setattr(watch, "follow", lambda: followed.append(1))
    choose(releases, "b-1")
    watch.look()
    watch.look()
    assert followed == [1]


def test_a_release_that_is_being_loaded_has_not_failed(
    watch: Watch, releases: Path, client: Client, db: None, monkeypatch: Any
) -> None:
    said = []
    follow = serving.follow

    def slow(*choice: Any) -> None:
        said.append(readiness(client))
        follow(*choice)

    monkeypatch.setattr(serving, "follow", slow)
    choose(releases, "b-1")
    watch.look()
    assert said == [(200, "a-1", None)]
    assert readiness(client) == (200, "b-1", None)


@pytest.mark.parametrize("choice", ["broken-1", "none-1"])
def test_a_release_that_cannot_be_loaded_leaves_the_old_one_and_is_named_until_it_can(
    choice: str, watch: Watch, releases: Path, client: Client, db: None
) -> None:
    add_broken(releases, "broken-1")
    choose(releases, choice)
    watch.look()
    assert readiness(client) == (200, "a-1", choice)
    watch.look()
    assert readiness(client) == (200, "a-1", choice)
    choose(releases, "b-1")
    watch.look()
    assert readiness(client) == (200, "b-1", None)


@pytest.mark.parametrize("text", ["{", "", '{"current": "../a-1"}', None])
def test_a_file_that_cannot_be_read_leaves_the_old_one(
    text: str | None, watch: Watch, releases: Path, client: Client, db: None
) -> None:
    if text is None:
        (releases / FILE_NAME).unlink()
    else:
        (releases / FILE_NAME).write_text(text)
    watch.look()
    assert readiness(client) == (200, "a-1", FILE_NAME)
    choose(releases, "a-1")
    watch.look()
    assert readiness(client) == (200, "a-1", None)


def test_a_release_that_was_mended_is_loaded_when_it_is_chosen_again(
    watch: Watch, releases: Path
) -> None:
    broken = add_broken(releases, "c-1")
    choose(releases, "c-1")
    watch.look()
    (broken / "trained.tflite").unlink()
    broken.rmdir()
    add(releases, "c-1")
    choose(releases, "c-1")
    watch.look()
    assert serving.current().name == "c-1"


def test_the_first_worker_does_not_start_without_its_release(releases: Path) -> None:
    choose(releases, "none-1")
    with pytest.raises(serving.ReleaseNotFound):
        Watch("litert").begin()
    (releases / FILE_NAME).unlink()
    with pytest.raises(serving_file.ServingFileUnusable):
        Watch("litert").begin()


def test_a_worker_that_is_replaced_meanwhile_has_what_the_others_have(
    watch: Watch, releases: Path
) -> None:
    choose(releases, "b-1")
    watch.look()
    choose(releases, "none-1")
    watch.look()
    late = Watch("litert")
    serving._loaded = None
    late.begin()
    assert (serving.current().name, late.failed) == ("b-1", "none-1")
    choose(releases, "a-1")
    late.look()
    assert (serving.current().name, late.failed) == ("a-1", "")


WORKERS = """
import os
from model import last_good
assert last_good.recall() == ""
for name in ("a-longer-name-1", "b-1"):
    if not (child := os.fork()):
        last_good.remember(name)
        os._exit(0)
    os.waitpid(child, 0)
    assert last_good.recall() == name, last_good.recall()
"""


def test_what_one_worker_loaded_the_others_know() -> None:
    subprocess.run([sys.executable, "-c", WORKERS], cwd=ROOT, check=True)


def test_a_release_that_is_pinned_is_not_changed_by_the_file(
    releases: Path, settings: Any, tmp_path: Path
) -> None:
    settings.MODEL_RUNTIME = "litert"
    settings.MODEL_RELEASE = str(add(tmp_path / "elsewhere", "pinned-1"))
    (releases / FILE_NAME).unlink()
    following.begin()
    assert serving.current().name == "pinned-1"
    assert following._watch is None
    assert following.failed() == ""


def test_without_a_pin_the_file_is_followed(releases: Path, settings: Any) -> None:
    settings.MODEL_RUNTIME, settings.MODEL_RELEASE = "litert", ""
    choose(releases, "b-1")
    following.begin()
    assert serving.current().name == "b-1"
    choose(releases, "none-1")
    assert following._watch
    following._watch.look()
    assert following.failed() == "none-1"
