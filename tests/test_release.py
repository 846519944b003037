"""model/release.py: a release is replaced only by one that is better, and no worse in anything."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from model import data, export, release, serving, serving_file, strangers, train
from model.release import Comparison, Duel, Measured
from model.serving_file import Choice, Shadow

RIGHT = np.arange(1_000) < 950
REJECTED = np.arange(100) < 90
CURRENT = Measured(RIGHT, REJECTED, 0.004, 0.1, 1e-6)
BETTER = CURRENT._replace(right=np.arange(1_000) < 970)


def objections(candidate: Measured, current: Measured = CURRENT) -> list[str]:
    return Comparison(candidate, current).objections()


@pytest.mark.parametrize(
    ("alone", "p"),
    [  # by hand: 2 * (sum of C(n, k) for k to the smaller) / 2**n, and never above 1
        ((0, 0), 1.0),
        ((1, 0), 1.0),
        ((5, 0), 0.0625),
        ((6, 0), 0.03125),
        ((0, 6), 0.03125),
        ((8, 2), 112 / 1024),
        ((9, 1), 22 / 1024),
        ((7, 7), 1.0),
    ],
)
def test_the_test_is_mcnemar_s(alone: tuple[int, int], p: float) -> None:
    assert Duel(*alone).p == pytest.approx(p)


def test_a_duel_of_thousands_is_still_exact() -> None:
    assert 0 < Duel(1_700, 300).p < 1e-200


def test_a_candidate_that_is_better_has_no_objections() -> None:
    assert objections(BETTER) == []


@pytest.mark.parametrize("ahead", [-20, 0, 5])
def test_a_candidate_that_is_not_better_beyond_chance_is_refused(ahead: int) -> None:
    (reason,) = objections(CURRENT._replace(right=np.arange(1_000) < 950 + ahead))
    assert "it is not better" in reason


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        ({"rejected": np.arange(100) < 80}, "takes more for digits that are none: 20 of 100"),
        ({"calibration_error": 0.0051}, "its confidence is off by 0.51%"),
        ({"milliseconds": 0.31}, "3.1 times the current one's time"),
        ({"runtimes_differ": 1.1e-5}, "its runtimes differ by 1.1e-05"),
    ],
)
def test_a_better_candidate_that_is_worse_in_something_else_is_refused(
    worse: dict[str, object], reason: str
) -> None:
    (objection,) = objections(BETTER._replace(**worse))  # type: ignore[arg-type]
    assert reason in objection


def test_all_the_reasons_are_given() -> None:
    worst = Measured(~RIGHT, ~REJECTED, 0.2, 2.0, 0.1)
    assert len(objections(worst)) == 5


def test_a_goal_that_the_current_release_misses_too_is_no_reason() -> None:
    current = CURRENT._replace(calibration_error=0.02, milliseconds=1.0)
    assert objections(BETTER._replace(calibration_error=0.02, milliseconds=1.05), current) == []


def test_rejecting_a_few_more_or_less_by_chance_is_no_reason() -> None:
    assert objections(BETTER._replace(rejected=np.arange(100) < 86)) == []


# The steps of the Jenkinsfile, with a tiny budget.


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of releases in which one that was trained for 30 steps is current."""
    folder = tmp_path / "releases"
    folder.mkdir()
    monkeypatch.setattr(serving, "RELEASES", folder)
    monkeypatch.setattr(strangers, "EACH", 5)
    mnist = data.load()
    monkeypatch.setattr(data, "load", lambda: mnist)
    trained(folder / "short-1", steps=30, monkeypatch=monkeypatch)
    serving_file.write(folder, Choice("short-1"))
    return folder


def trained(folder: Path, steps: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    arguments = ["model.train", "--output", str(folder), "--steps", str(steps)]
    monkeypatch.setattr(sys, "argv", arguments)
    train.main()
    return folder


def gate(candidate: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of `python -m model.release CANDIDATE`."""
    monkeypatch.setattr(sys, "argv", ["model.release", str(candidate)])
    try:
        release.main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_a_retraining_goes_live_only_if_it_is_better(
    releases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worse = trained(tmp_path / "worse-1", steps=1, monkeypatch=monkeypatch)
    better = trained(tmp_path / "better-1", steps=400, monkeypatch=monkeypatch)
    equal = tmp_path / "equal-1"
    shutil.copytree(better, equal)
    capsys.readouterr()

    assert gate(worse, monkeypatch) == release.REFUSED
    refusal = capsys.readouterr().out
    assert refusal.startswith("worse-1 is refused, short-1 stays:\n- it is not better")
    assert serving_file.read(releases).current == "short-1"
    assert [folder.name for folder in releases.glob("*/")] == ["short-1"]

    assert gate(better, monkeypatch) == 0
    assert capsys.readouterr().out.startswith("better-1 takes the place of short-1")
    assert serving_file.read(releases).current == "better-1"
    for file in better.iterdir():
        assert (releases / "better-1" / file.name).read_bytes() == file.read_bytes()

    assert gate(equal, monkeypatch) == release.REFUSED
    refusal = capsys.readouterr().out
    assert "0 are right with it alone, 0 with the current one alone (p = 1" in refusal
    assert serving_file.read(releases).current == "better-1"


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Releases of which only the names matter."""
    folder = tmp_path / "shelf"
    (folder / "old-1").mkdir(parents=True)
    serving_file.write(folder, Choice("old-1", Shadow("new-1", 0.5)))
    return folder


@pytest.fixture
def candidate(tmp_path: Path) -> Path:
    folder = tmp_path / "new-1"
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"name": "new-1"}))
    return folder


def test_a_name_is_never_given_twice(shelf: Path, candidate: Path) -> None:
    (shelf / "new-1").mkdir()
    with pytest.raises(FileExistsError, match="new-1"):
        release.promote(candidate, shelf)
    assert serving_file.read(shelf).current == "old-1"


def test_what_is_promoted_is_no_shadow_any_more(shelf: Path, candidate: Path) -> None:
    release.promote(candidate, shelf)
    assert serving_file.read(shelf) == Choice("new-1")
    assert sorted(path.name for path in shelf.iterdir()) == ["new-1", "old-1", "serving.json"]


def test_a_release_that_is_in_its_place_is_promoted_without_a_copy(
    shelf: Path, candidate: Path
) -> None:
    shutil.move(candidate, shelf)
    release.promote(shelf / "new-1", shelf)
    assert serving_file.read(shelf).current == "new-1"


def test_a_copy_that_fails_leaves_the_current_release(
    shelf: Path, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="no space"):
        release.promote(candidate, shelf)
    assert serving_file.read(shelf).current == "old-1"
    assert not (shelf / "new-1").exists()


def test_a_candidate_that_is_not_there_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(Path("no-such"), monkeypatch) == 2
    assert "'no-such' is no release" in capsys.readouterr().err.splitlines()[-1]


def test_the_tolerance_of_the_gate_is_that_of_the_export() -> None:
    assert objections(BETTER._replace(runtimes_differ=export.TOLERANCE)) == []
