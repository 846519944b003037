"""Jenkinsfile: its steps are commands that exist, in the order that guards what is deployed."""

import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from model import release, serving

ROOT = Path(__file__).parent.parent
JENKINSFILE = (ROOT / "Jenkinsfile").read_text()
COMMANDS = re.findall(r"(?:sh |script: )'([^']+)'", JENKINSFILE)
PYTHON = [shlex.split(command) for command in COMMANDS if command.startswith(".venv/bin/python")]
MAKE = [shlex.split(command) for command in COMMANDS if command.startswith("make ")]


def test_every_step_is_one_of_the_commands_that_are_looked_at() -> None:
    others = [c for c in COMMANDS if not c.startswith((".venv/bin/python -m ", "make ", "git "))]
    assert others == ['cf push --strategy rolling --vars-file "$SECRETS"']
    assert len(COMMANDS) == len(re.findall(r"\bsh\b", JENKINSFILE))


def test_the_stages_come_in_the_order_that_guards_what_is_deployed() -> None:
    stages = re.findall(r"stage\('(.+)'\)", JENKINSFILE)
    assert stages == ["Fetch data", "Train", "Evaluate", "Gate", "Test", "Keep", "Deploy"]


def test_what_was_not_promoted_is_neither_kept_nor_deployed() -> None:
    for stage in ("Test", "Keep", "Deploy"):
        body = JENKINSFILE.split(f"stage('{stage}')")[1].split("steps {")[0]
        assert "when { environment name: 'PROMOTED', value: 'true' }" in body


@pytest.mark.parametrize("words", MAKE, ids=" ".join)
def test_the_targets_exist(words: list[str]) -> None:
    subprocess.run([*words, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("words", PYTHON, ids=lambda words: str(words[2]))
def test_the_commands_exist_and_know_their_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [words[2], "--help"])
    with pytest.raises(SystemExit):
        importlib.import_module(words[2]).main()
    usage = capsys.readouterr().out
    for option in (word for word in words[3:] if word.startswith("--")):
        assert option in usage


def test_only_a_refusal_is_no_failure_of_the_build() -> None:
    assert f"if (code != 0 && code != {release.REFUSED}) {{ error" in JENKINSFILE
    assert f"if (code == {release.REFUSED}) {{ currentBuild.result = 'NOT_BUILT' }}" in JENKINSFILE


def test_no_candidate_has_the_name_of_a_release() -> None:
    (name,) = re.findall(r'CANDIDATE = ".*/(.+)\$\{BUILD_NUMBER\}"', JENKINSFILE)
    assert not [folder for folder in serving.RELEASES.glob("*/") if folder.name.startswith(name)]


def test_what_is_pushed_is_the_product_without_what_the_build_left_beside_it() -> None:
    """`cf push` does not look into .gitignore, and takes no more than a GB or so."""
    ignored = (ROOT / ".cfignore").read_text().splitlines()
    built = [line.removeprefix("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert set(built) | {"secrets.yml"} <= set(ignored)
    assert not {"model/", "mnistapi/", "requirements.txt"} & set(ignored)


def test_it_runs_on_a_schedule() -> None:
    (schedule,) = re.findall(r"cron\('(.+)'\)", JENKINSFILE)
    assert len(schedule.split()) == 5
