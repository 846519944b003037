"""The release of a running server is changed under load: gunicorn, two workers, 200 calls/s."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from model.serving_file import Shadow
from tests.conftest import DIGIT
from tests.exposition import samples_of, value
from tests.releases import add_broken, choose, two
from tests.serving import Issue, Server, drop_database, new_database

CONNECTIONS = 8
PACE_SECONDS = 0.04  # from call to call on each of them
WORKERS = 2


class Made(NamedTuple):
    status: int
    release: str | None
    digit: int | None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two(tmp_path_factory.mktemp("swap") / "releases")


@pytest.fixture(scope="module")
def swapping(folder: Path) -> Iterator[Server]:
    """A server that follows the file in that folder."""
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    environment = {"MODEL_RELEASES": str(folder), "MODEL_RELEASE": "", "MODEL_RUNTIME": "litert"}
    server = Server(url, folder.parent, environment, workers=WORKERS)
    try:
        yield server.start()
    finally:
        server.stop()
        drop_database(here, url)


class Callers:
    """Threads that send the same 3 at a pace, each on a connection of its own."""

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.made: list[tuple[float, Made]] = []  # with the time at which it was sent
        self.over = threading.Event()

    @contextmanager
    def calling(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.call) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def call(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        due = time.monotonic()
        while not self.over.wait(due - time.monotonic()):
            sent = time.monotonic()
            self.made.append((sent, self.one(connection)))
            due += PACE_SECONDS
        connection.close()

    def one(self, connection: http.client.HTTPConnection) -> Made:
        try:
            connection.request("POST", "/v1/predictions", DIGIT.read_bytes(), self.headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            return Made(0, None, None)
        if response.status != 200:
            return Made(response.status, None, None)
        return Made(200, body["release"], body["predictions"][0]["digit"])

    def from_now_on(self, calls: int = 100) -> set[Made]:
        """What comes of so many calls that are sent from now on."""
        now = time.monotonic()

        def made() -> list[Made]:
            return [one for sent, one in self.made if sent >= now]

        wait_until(lambda: len(made()) >= calls)
        return set(made())


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def metric(server: Server, name: str, **labels: str) -> float:
    return value(samples_of(server.get("/metrics").raw.decode()), name, **labels)


def events(server: Server, event: str) -> list[Any]:
    lines = [line for line in server.log.read_text().splitlines() if f'"{event}"' in line]
    return [json.loads(line) for line in lines]


def test_a_release_is_changed_under_load_without_one_failure(
    swapping: Server, folder: Path
) -> None:
    (key,) = swapping.issue(Issue("owner@example.com", "live", "volume"))
    callers = Callers(swapping, key)
    with callers.calling():
        assert callers.from_now_on() == {Made(200, "a-1", 3)}

        choose(folder, "b-1", Shadow("a-1", 0.5))  # which changes nothing for callers
        wait_until(lambda: len(events(swapping, "release_changed")) == WORKERS)
        assert callers.from_now_on() == {Made(200, "b-1", 4)}

        add_broken(folder, "broken-1")
        choose(folder, "broken-1")
        wait_until(lambda: len(events(swapping, "release_failed")) == WORKERS)
        assert callers.from_now_on() == {Made(200, "b-1", 4)}
        ready = swapping.get("/readyz")
        assert ready.status == 200
        assert (ready.body["release"], ready.body["release_failed"]) == ("b-1", "broken-1")
        wait_until(lambda: metric(swapping, "model_failed") == WORKERS)
    assert metric(swapping, "model_loaded", release="a-1", runtime="litert") == 0
    assert metric(swapping, "model_loaded", release="b-1", runtime="litert") == WORKERS
    assert metric(swapping, "model_changes_total", outcome="loaded") == WORKERS
    assert metric(swapping, "model_changes_total", outcome="failed") == WORKERS
    # Not one failed, and each is wholly of the release that it names.
    made = [one for _, one in callers.made]
    assert set(made) == {Made(200, "a-1", 3), Made(200, "b-1", 4)}
    rows = dict(swapping.rows("SELECT release, count(*) FROM predictions_call GROUP BY 1"))
    assert rows == Counter(one.release for one in made)


def test_a_candidate_is_asked_in_the_shadow_and_answers_nobody(
    swapping: Server, folder: Path
) -> None:
    (key,) = swapping.issue(Issue("owner@example.com", "live", "volume"))
    before = len(events(swapping, "release_changed"))
    choose(folder, "a-1", Shadow("b-1", 1))
    wait_until(lambda: len(events(swapping, "release_changed")) == before + WORKERS)
    for _ in range(10):
        answer = swapping.post("/v1/predictions", DIGIT.read_bytes(), key).body
        assert (answer["release"], answer["predictions"][0]["digit"]) == ("a-1", 3)
    images = "shadow_images_total"
    wait_until(lambda: metric(swapping, images, release="b-1", agrees="no") == 10)
    assert metric(swapping, images, release="b-1", agrees="yes") == 0
    assert metric(swapping, "shadow_calls_total", release="b-1", outcome="compared") == 10
    (row,) = swapping.rows("SELECT release FROM predictions_call ORDER BY id DESC LIMIT 1")
    assert row == ("a-1",)


def test_a_worker_that_dies_while_the_choice_is_broken_is_replaced_by_one_that_answers(
    swapping: Server, folder: Path
) -> None:
    (key,) = swapping.issue(Issue("owner@example.com", "live", "volume"))
    failures = len(events(swapping, "release_failed"))
    add_broken(folder, "broken-2")
    choose(folder, "broken-2")
    wait_until(lambda: len(events(swapping, "release_failed")) == failures + WORKERS)
    release = swapping.get("/readyz").body["release"]
    before = swapping.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(events(swapping, "release_failed")) == failures + 2 * WORKERS)
    swapping.wait_until_ready()
    assert not set(before) & set(swapping.worker_pids())
    answer = swapping.post("/v1/predictions", DIGIT.read_bytes(), key)
    assert (answer.status, answer.body["release"]) == (200, release)
