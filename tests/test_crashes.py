"""A 200 is a receipt: through any crash, what a client saw acknowledged is in the books."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path

import pytest

from sandbox import postgres
from tests.conftest import DIGIT
from tests.serving import ROOT, Server

CLIENTS = 16
KILLS = 10
MORE_CALLS = 20  # that must be answered between two kills, so that each one hits a busy server
PATIENCE = 60  # seconds for the server to come back

RAW = DIGIT.read_bytes()
START = """
import pathlib, sys
from sandbox import postgres
print(postgres.start(pathlib.Path(sys.argv[1])))
"""


class Clients:
    """Clients that call without pause; they note each 200 by its request id."""

    def __init__(self, server: Server, key: str) -> None:
        self.server, self.key = server, key
        self.acknowledged: list[str] = []
        self.outcomes: Counter[object] = Counter()
        self.stopped = threading.Event()

    def __enter__(self) -> "Clients":
        self.pool = ThreadPoolExecutor(CLIENTS)
        self.running = [self.pool.submit(self.call_until_stopped) for _ in range(CLIENTS)]
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self.pool.shutdown()
        for client in self.running:
            client.result()

    def call_until_stopped(self) -> None:
        while not self.stopped.is_set():
            try:
                answer = self.server.post("/v1/predictions", RAW, self.key)
            except (OSError, HTTPException):
                self.outcomes["no answer"] += 1
                time.sleep(0.02)
                continue
            if answer.status == 503 and answer.body["billed"] is None:
                self.outcomes["unknown"] += 1
                continue
            self.outcomes[answer.status] += 1
            if answer.status == 200:
                self.acknowledged.append(answer.headers["X-Request-Id"])

    def wait_for_more(self) -> None:
        enough = len(self.acknowledged) + MORE_CALLS
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"nothing is answered any more: {self.outcomes}"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))  # anywhere in a call


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crashes")


@pytest.fixture
def own_server(folder: Path) -> Iterator[Server]:
    """A server with a PostgreSQL that may be killed."""
    server = Server(start_postgres(folder), folder)
    try:
        yield server.start()
    finally:
        server.stop()
        kill_postgres(folder)


def start_postgres(folder: Path) -> str:
    """In a process of its own, as after a crash nothing knows of the server that was."""
    command = [sys.executable, "-c", START, str(folder / "postgres")]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def kill_postgres(folder: Path) -> None:
    """kill -9 of the whole PostgreSQL: the postmaster and all that it forked."""
    postmaster = int((folder / "postgres" / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for pid in [postmaster, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)


def crash_repeatedly(server: Server, crash: Callable[[], None]) -> Clients:
    key = server.manage("create_key", "owner@example.com")
    with Clients(server, key) as clients:
        for _ in range(KILLS):
            clients.wait_for_more()
            crash()
        clients.wait_for_more()
    return clients


def check_the_books(server: Server, clients: Clients) -> None:
    logged = {
        str(id) for (id,) in server.rows("SELECT id FROM predictions_call WHERE status = 200")
    }
    assert set(clients.acknowledged) <= logged
    # Beyond these are calls that were committed and whose answer the crash cut off, or that said
    # that nobody could know; never one whose answer said that it was not charged.
    unsaid = clients.outcomes["no answer"] + clients.outcomes["unknown"]
    assert len(logged) - len(clients.acknowledged) <= unsaid
    totals = "SELECT sum(calls), sum(units), sum(errors) FROM billing_usagehour"
    log = "SELECT count(*), sum(units), count(*) FILTER (WHERE status <> 200) FROM predictions_call"
    assert server.rows(totals) == server.rows(log)
    assert server.rows("SELECT test_units FROM billing_account") == [(len(logged),)]
    assert set(clients.outcomes) <= {200, 503, "no answer", "unknown"}, clients.outcomes


def test_every_acknowledged_call_survives_ten_kills_of_a_worker(own_server: Server) -> None:
    def kill_a_worker() -> None:
        os.kill(random.choice(own_server.worker_pids()), signal.SIGKILL)

    clients = crash_repeatedly(own_server, kill_a_worker)
    check_the_books(own_server, clients)
    assert clients.outcomes["no answer"]  # or the kills hit nobody


def test_every_acknowledged_call_survives_ten_kills_of_postgresql(
    own_server: Server, folder: Path
) -> None:
    def kill_and_start() -> None:
        kill_postgres(folder)
        time.sleep(0.5)  # meanwhile the clients get problems
        start_postgres(folder)

    clients = crash_repeatedly(own_server, kill_and_start)
    check_the_books(own_server, clients)
    assert clients.outcomes[503]


def test_without_a_database_calls_and_probes_are_told_so(own_server: Server, folder: Path) -> None:
    key = own_server.manage("create_key", "owner@example.com")
    kill_postgres(folder)
    answer = own_server.post("/v1/predictions", RAW, key)
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert own_server.get("/readyz").status == 503
    assert own_server.get("/livez").status == 200
    start_postgres(folder)
    own_server.wait_until_ready()
    assert own_server.post("/v1/predictions", RAW, key).status == 200


def test_postgresql_is_found_running_by_a_second_start(folder: Path) -> None:
    try:
        assert start_postgres(folder) == postgres.start(folder / "postgres")
    finally:
        kill_postgres(folder)
