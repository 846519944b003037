"""model/serving.py: the releases that a process has loaded."""

import weakref
from pathlib import Path

import numpy as np
import pytest

from model import serving, serving_file
from model.serving_file import Choice, Shadow
from tests import releases as folders
from tests.test_predictions import THREE

IMAGE = (np.array(THREE, np.float32) / 255).reshape(1, 28, 28, 1)


def digit(release: serving.Release) -> int:
    return int(release.predict(IMAGE).argmax())


def follow(folder: Path) -> None:
    serving.follow(serving_file.read(folder), "litert")


def test_all_releases_are_loaded_and_the_one_that_is_chosen_is_current(releases: Path) -> None:
    follow(releases)
    assert (serving.current().name, digit(serving.current())) == ("a-1", 3)
    assert (serving.named("b-1").name, digit(serving.named("b-1"))) == ("b-1", 4)
    assert serving.named("a-1") is serving.current()


def test_a_release_that_is_not_there_is_named_with_those_that_are(releases: Path) -> None:
    follow(releases)
    with pytest.raises(serving.ReleaseNotFound, match=r"'c-1'; there are: a-1, b-1\."):
        serving.named("c-1")


@pytest.mark.parametrize("name", ["", ".", "..", "../releases/a-1", "a-1/", "A-1", "a-1\0"])
def test_what_a_caller_sends_is_never_a_path(name: str, releases: Path) -> None:
    serving.load("a-1", "litert")
    with pytest.raises(serving.ReleaseNotFound):
        serving.named(name)
    with pytest.raises(serving.ReleaseNotFound):
        serving.named(str(releases / "a-1"))


def test_the_next_choice_is_made_without_loading_again_what_is_there(releases: Path) -> None:
    follow(releases)
    a, b = serving.current(), serving.named("b-1")
    folders.choose(releases, "b-1")
    follow(releases)
    assert serving.current() is b
    assert serving.named("a-1") is a


def test_a_release_that_came_since_is_loaded_with_the_next_choice(releases: Path) -> None:
    follow(releases)
    folders.add(releases, "c-1", off_by=2)
    folders.choose(releases, "c-1")
    follow(releases)
    assert digit(serving.current()) == 5


def test_a_release_whose_folder_is_gone_is_let_go_of(releases: Path) -> None:
    follow(releases)
    a = weakref.ref(serving.current())
    folders.remove(releases, "a-1")
    folders.choose(releases, "b-1")
    follow(releases)
    assert a() is None
    with pytest.raises(serving.ReleaseNotFound):
        serving.named("a-1")


@pytest.mark.parametrize("choice", ["broken-1", "none-1"])
def test_a_choice_that_cannot_be_loaded_changes_nothing(choice: str, releases: Path) -> None:
    follow(releases)
    before = serving.loaded()
    folders.add_broken(releases, "broken-1")
    folders.choose(releases, choice)
    with pytest.raises((serving.ReleaseNotFound, serving.ReleaseUnusable)):
        follow(releases)
    assert serving.loaded() is before


def test_a_choice_is_no_folder_elsewhere(
    releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.add(tmp_path, "c-1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(serving.ReleaseNotFound):
        serving.follow(Choice("c-1"), "litert")


def test_a_release_of_another_number_of_labels_is_unusable(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LABELS", list("ABCDEFGHIJK"))
    with pytest.raises(serving.ReleaseUnusable, match="10 columns for 11 labels"):
        serving.load("a-1", "litert")


def test_one_that_nobody_chose_and_that_cannot_be_loaded_keeps_no_other_away(
    releases: Path,
) -> None:
    folders.add_broken(releases, "broken-1")
    follow(releases)
    assert set(serving.loaded().by_name) == {"a-1", "b-1"}
    assert set(serving.loaded().unusable) == {"broken-1"}


def test_a_folder_that_is_being_copied_is_no_release_yet(releases: Path) -> None:
    folders.add(releases, ".c-1.tmp")
    follow(releases)
    assert set(serving.loaded().by_name) == {"a-1", "b-1"}
    assert not serving.loaded().unusable


def test_a_folder_elsewhere_is_current_beside_those_that_are_named(
    releases: Path, tmp_path: Path
) -> None:
    elsewhere = folders.add(tmp_path / "elsewhere", "a-1", off_by=3)
    serving.load(str(elsewhere), "litert")
    assert digit(serving.current()) == 6
    assert serving.named("a-1") is serving.current()
    assert digit(serving.named("b-1")) == 4


def test_the_shadow_is_what_the_choice_says(releases: Path) -> None:
    shadow = Shadow("b-1", 0.5)
    serving.follow(Choice("a-1", shadow), "litert")
    assert serving.loaded().shadow == shadow
    serving.follow(Choice("a-1"), "litert")
    assert serving.loaded().shadow is None
