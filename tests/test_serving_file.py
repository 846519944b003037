"""model/serving_file.py: which release answers."""

import json
import threading
from pathlib import Path

import pytest

from model import serving, serving_file
from model.serving_file import Choice, ServingFileUnusable, Shadow


@pytest.mark.parametrize("choice", [Choice("a-1"), Choice("a-1", Shadow("b-2", 0.25))])
def test_what_was_written_is_read(choice: Choice, tmp_path: Path) -> None:
    serving_file.write(tmp_path, choice)
    assert serving_file.read(tmp_path) == choice
    assert [file.name for file in tmp_path.iterdir()] == ["serving.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"a"',
        "{}",
        '{"current": 1}',
        '{"current": null}',
        '{"current": ""}',
        '{"current": "../a"}',
        '{"current": "/etc"}',
        '{"current": ".hidden"}',
        '{"current": "a\\n"}',
        '{"current": "a", "curent": "b"}',
        '{"current": "a", "shadow": "b"}',
        '{"current": "a", "shadow": {"release": "b"}}',
        '{"current": "a", "shadow": {"release": "b/c", "share": 0.5}}',
        '{"current": "a", "shadow": {"release": "b", "share": 0}}',
        '{"current": "a", "shadow": {"release": "b", "share": 1.1}}',
        '{"current": "a", "shadow": {"release": "b", "share": NaN}}',
        '{"current": "a", "shadow": {"release": "b", "share": "much"}}',
    ],
)
def test_a_file_that_does_not_say_it_is_unusable(text: str, tmp_path: Path) -> None:
    (tmp_path / "serving.json").write_text(text)
    with pytest.raises(ServingFileUnusable):
        serving_file.read(tmp_path)


def test_a_file_that_is_not_there_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(ServingFileUnusable, match=r"serving\.json"):
        serving_file.read(tmp_path)


@pytest.mark.parametrize(
    "choice", [Choice("../a"), Choice("a", Shadow("b", 2)), Choice("a", Shadow("/b", 1))]
)
def test_nothing_is_written_that_could_not_be_read(choice: Choice, tmp_path: Path) -> None:
    serving_file.write(tmp_path, Choice("before"))
    with pytest.raises(ValueError, match=r"release|share"):
        serving_file.write(tmp_path, choice)
    assert serving_file.read(tmp_path) == Choice("before")


def test_a_reader_never_finds_half_a_file(tmp_path: Path) -> None:
    choices = [Choice("a"), Choice("b" * 90, Shadow("c" * 90, 0.5))]
    serving_file.write(tmp_path, choices[0])
    written = threading.Event()

    def replace() -> None:
        for number in range(50):
            serving_file.write(tmp_path, choices[number % 2])
        written.set()

    thread = threading.Thread(target=replace)
    thread.start()
    while not written.is_set():
        assert serving_file.read(tmp_path) in choices
    thread.join()


def test_the_one_in_the_repository_names_a_release_that_is_there() -> None:
    choice = serving_file.read(serving.RELEASES)
    assert (serving.RELEASES / choice.current).is_dir()
    content = json.loads((serving.RELEASES / "serving.json").read_text())
    assert content["current"] == choice.current
