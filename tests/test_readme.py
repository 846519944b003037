"""The README's own commands and snippets, on a copy of the project that has never run."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, build_opener

import pytest

from sandbox import postgres
from tests.serving import ROOT, free_port

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


RUN, CURL, TEST, PICTURE, MODEL = blocks("sh")
(ANSWER,) = blocks("json")
(PYTHON,) = blocks("python")


class Laptop:
    """A copy of the project, and `make run` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "mnistapi"
        self.port = str(free_port())
        self.output = ""
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        files = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
        for name in filter(None, files.decode().split("\0")):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)

    def environment(self, **more: str) -> dict[str, str]:
        names = {"DATABASE_URL", "SECRET_KEY", "API_KEY_PEPPER", "ALLOWED_HOSTS", "PUBLIC_URL"}
        names |= {"STRIPE_SECRET_KEY", "STRIPE_API_BASE", "STRIPE_WEBHOOK_SECRET"}
        bare = {name: value for name, value in os.environ.items() if name not in names}
        return {**bare, "PORT": self.port, **more}

    def run(self) -> str:
        """`make run`, with packages that are there already; gives the key that it prints."""
        command = [*RUN.split(), f"VENV={sys.prefix}"]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        printed = []
        for line in self.process.stdout:
            printed.append(line)
            if "Ctrl-C" in line:
                break
        self.output = "".join(printed)
        # Nobody reads on, and a full pipe would stop the server.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        found = re.search(r"mnist_test_\w+", self.output)
        assert found, self.output
        return found[0]

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it: to all processes of the command."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=60)

    def here(self, snippet: str) -> str:
        return snippet.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")

    def shell(self, snippet: str, **environment: str) -> str:
        return subprocess.run(
            ["bash", "-euc", self.here(snippet)],
            cwd=self.folder,
            env=self.environment(**environment),
            check=True,
            capture_output=True,
            text=True,
        ).stdout


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    laptop = Laptop(tmp_path_factory.mktemp("laptop"))
    try:
        yield laptop
    finally:
        postgres.stop(laptop.folder / ".data" / "postgres")


def test_the_first_call(laptop: Laptop) -> None:
    key = laptop.run()
    try:
        answer = json.loads(laptop.shell(CURL, KEY=key))
        check_against_the_readme(answer)
        printed = "".join(re.findall(r"^    (curl.*?)\n\n", laptop.output, re.M | re.S))
        assert json.loads(laptop.shell(printed))["usage"]["period_units"] == 2
        python = subprocess.run(
            [sys.executable, "-c", laptop.here(PYTHON)],
            cwd=laptop.folder,
            env=laptop.environment(KEY=key),
            check=True,
            capture_output=True,
            text=True,
        )
        assert python.stdout.strip() == "[3, 3]"
        (picture,) = json.loads(laptop.shell(PICTURE, KEY=key))["predictions"]
        assert picture["digit"] == 3
    finally:
        laptop.interrupt()

    key_of_the_second_run = laptop.run()
    try:
        assert key_of_the_second_run != key
        for used in (key, key_of_the_second_run):
            answer = json.loads(laptop.shell(CURL, KEY=used))
        assert answer["usage"]["period_units"] == 7, "the data of the first run is gone"
        check_the_way_to_a_plan(laptop)
    finally:
        laptop.interrupt()


def check_the_way_to_a_plan(laptop: Laptop) -> None:
    """A card that is entered at the local Stripe comes back as a webhook, and changes the plan."""
    customer = "customer = Customer.objects.with_email('you@example.com')"
    given = (
        f"from billing.subscribing import checkout_url; {customer}; print(checkout_url(customer))"
    )
    url = python_of(laptop, given).splitlines()[-1]
    assert f"{url.partition('/checkout/')[0]}: no money moves" in laptop.output
    body = urlencode({"do": "pm_card_visa"}).encode()
    with pytest.raises(HTTPError, match="303"):
        build_opener(StayHere).open(url, body, timeout=10)
    deadline = time.monotonic() + 20
    while "payg" not in python_of(laptop, f"{customer}; print(customer.account.plan)"):
        assert time.monotonic() < deadline


class StayHere(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def python_of(laptop: Laptop, code: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=laptop.folder,
        env=laptop.environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def check_against_the_readme(answer: Any) -> None:
    """What the README shows is what came back, but for the id and the month."""
    shown = json.loads(ANSWER)
    (prediction,) = answer["predictions"]
    (of_readme,) = shown["predictions"]
    assert answer.keys() == shown.keys()
    assert answer["release"] == shown["release"]
    assert prediction["digit"] == of_readme["digit"]
    assert prediction["confidence"] == pytest.approx(of_readme["confidence"], abs=1e-5)
    assert prediction["probabilities"][0] == pytest.approx(of_readme["probabilities"][0], abs=1e-5)
    assert {**answer["usage"], "period": ""} == {**shown["usage"], "period": ""}


def test_what_make_run_prints_needs_no_explanation(laptop: Laptop) -> None:
    """Nothing that looks like a warning stands between a newcomer and his key."""
    for word in ("Warning", "warning", "Traceback", "error:"):
        assert word not in laptop.output


def test_a_port_that_is_taken_is_said_with_the_way_out(laptop: Laptop) -> None:
    with socket.create_server(("127.0.0.1", int(laptop.port))):
        result = subprocess.run(
            ["make", "run", f"VENV={sys.prefix}"],
            cwd=laptop.folder,
            env=laptop.environment(),
            capture_output=True,
            text=True,
        )
    assert result.returncode != 0
    assert f"PORT={int(laptop.port) + 1} make run" in result.stderr


def test_the_commands_of_the_model_work(tmp_path: Path) -> None:
    _, train, evaluate = MODEL.strip().splitlines()
    train = train.replace("/tmp/softmax-2", f"{tmp_path}/softmax-2 --steps 20")
    for command in (train, evaluate):
        words = command.replace(".venv/bin/python", sys.executable).split()
        printed = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "92.40%" in printed
    assert (tmp_path / "softmax-2" / "card.json").exists()


def test_the_readme_s_test_command_is_what_ci_runs() -> None:
    assert TEST.strip() in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("target", re.findall(r"`make (\w+)`", README) or pytest.fail("no targets"))
def test_each_target_that_is_named_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M)


@pytest.mark.parametrize("path", re.findall(r"\]\(([\w/.]+)\)", README))
def test_each_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).is_file()
