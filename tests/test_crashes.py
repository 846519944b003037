"""A 200 is a receipt: through any crash, what a client saw acknowledged is in the books."""

import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from sandbox import postgres
from tests import killing
from tests.conftest import DIGIT
from tests.serving import DOORS, ROOT, Answer, Issue, Server, together

CLIENTS = 16
KILLS_OF_WORKERS = 10
KILLS_OF_POSTGRES = 20
MORE_CALLS = 20  # that must be answered between two kills, so that each one hits a busy server
PATIENCE = 60  # seconds for the servers to answer again
READY_SECONDS = 10  # behind a start of PostgreSQL
CUSTOMERS = 3
TRIES = 10

RAW = DIGIT.read_bytes()
START = """
import pathlib, sys
from sandbox import postgres
print(postgres.start(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crashes")


@pytest.fixture(scope="module")
def database(folder: Path) -> Iterator[str]:
    """A PostgreSQL that may be killed."""
    url = start_postgres(folder)
    yield url
    kill_postgres(folder)


@pytest.fixture(scope="module")
def mortals(database: str, folder: Path) -> Iterator[dict[str, Server]]:
    """A server behind each door whose workers die where the file `point` says."""
    servers: dict[str, Server] = {}
    try:
        for door in DOORS:
            own = folder / door
            own.mkdir()
            extra = {"MODEL_RUNTIME": "litert", "KILL_POINT": str(own / "point")}
            app = f"tests.killing:application('{door}')"
            server = servers[door] = Server(database, own, extra, door=door, workers=3, app=app)
            _ = server.serve() if len(servers) > 1 else server.start()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


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


# A worker that dies at a point of the call


@dataclass
class Client:
    """A customer, who uses one key for calls with an `Idempotency-Key` and another for those
    without; and what he knows of his calls: the ids of those that were answered, by that key, and
    how many were not.
    """

    server: Server
    key: str
    key_of_retries: str
    acknowledged: set[str] = field(default_factory=set)
    unanswered: int = 0
    retried: dict[str, str] = field(default_factory=dict)

    def call(self) -> None:
        answer = answer_or_none(partial(self.server.post, "/v1/predictions", RAW, self.key))
        if answer is None:
            self.unanswered += 1
        else:
            assert answer.status == 200, answer.raw
            self.acknowledged.add(answer.headers["X-Request-Id"])

    def call_until_answered(self) -> None:
        """And then once more, as who cannot be sure that he has seen the answer."""
        name = secrets.token_hex(8)
        again = {"Idempotency-Key": name}
        post = partial(self.server.post, "/v1/predictions", RAW, self.key_of_retries, **again)
        first = next(filter(None, (answer_or_none(post) for _ in range(TRIES))))
        second = next(filter(None, (answer_or_none(post) for _ in range(TRIES))))
        assert (first.status, second.status) == (200, 200)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert first.raw == second.raw
        self.retried[name] = first.body["id"]

    def ids(self, key: str) -> set[str]:
        rows = self.server.rows(
            "SELECT c.id::text, c.status, c.units FROM predictions_call c "
            "JOIN accounts_apikey k ON k.id = c.key_id WHERE k.prefix = %s",
            key[:19],
        )
        assert {row[1:] for row in rows} <= {(200, 1)}
        return {row[0] for row in rows}

    def check_the_books(self) -> None:
        """What was answered is there, and beyond it at most what was not answered.

        Each call that was sent again until it was answered is there once.
        """
        logged, retried = self.ids(self.key), self.ids(self.key_of_retries)
        assert self.acknowledged <= logged
        assert len(logged) - len(self.acknowledged) <= self.unanswered
        assert retried == set(self.retried.values())
        assert len(retried) == len(self.retried)
        (account,) = self.server.rows(
            "SELECT a.live_units, sum(h.calls), sum(h.units), sum(h.errors) "
            "FROM accounts_apikey k JOIN billing_account a USING (customer_id) "
            "JOIN billing_usagehour h USING (customer_id) WHERE k.prefix = %s GROUP BY 1",
            self.key[:19],
        )
        count = len(logged) + len(retried)
        assert account == (count, count, count, 0)


def answer_or_none(call: Callable[[], Answer]) -> Answer | None:
    try:
        return call()
    except (OSError, HTTPException):
        return None


@pytest.fixture(scope="module")
def clients(mortals: dict[str, Server]) -> dict[str, list[Client]]:
    """Some at each door; what they know is kept over all the deaths."""
    clients = {}
    for door, server in mortals.items():
        emails = [f"{secrets.token_hex(8)}@example.com" for _ in range(CUSTOMERS)]
        keys = server.issue(*(Issue(email) for email in emails * 2))
        pairs = zip(keys[:CUSTOMERS], keys[CUSTOMERS:], strict=True)
        clients[door] = [Client(server, *pair) for pair in pairs]
    return clients


@pytest.mark.parametrize(
    ("door", "point"), [(door, point) for door in DOORS for point in killing.points(door)]
)
def test_a_worker_that_is_killed_in_a_call_costs_nobody_anything(
    door: str, point: str, mortals: dict[str, Server], clients: dict[str, list[Client]]
) -> None:
    file = Path(mortals[door].extra["KILL_POINT"])
    file.write_text(point)
    for _ in range(TRIES):
        together([call for each in clients[door] for call in (each.call, each.call_until_answered)])
        if not file.exists():
            break
    assert not file.exists(), "no worker came to this point"
    for client in clients[door]:
        client.check_the_books()


def test_the_deaths_cut_off_answers(clients: dict[str, list[Client]]) -> None:
    """Or they hit nobody: each did so to one client at least, but for those behind the answer."""
    for each in clients.values():
        assert sum(client.unanswered for client in each) >= 5


# Clients that call without pause while anything dies


class Crowd:
    """They note each 200 by its request id."""

    def __init__(self, servers: list[Server], key: str) -> None:
        self.servers, self.key = servers, key
        self.acknowledged: list[str] = []
        self.outcomes: Counter[object] = Counter()
        self.stopped = threading.Event()

    def __enter__(self) -> "Crowd":
        self.pool = ThreadPoolExecutor(CLIENTS)
        servers = cycle(self.servers)
        self.running = [
            self.pool.submit(self.call_until_stopped, next(servers)) for _ in range(CLIENTS)
        ]
        return self

    def __exit__(self, *error: object) -> None:
        self.stopped.set()
        self.pool.shutdown()
        for client in self.running:
            client.result()

    def call_until_stopped(self, server: Server) -> None:
        while not self.stopped.is_set():
            answer = answer_or_none(partial(server.post, "/v1/predictions", RAW, self.key))
            if answer is None:
                self.outcomes["no answer"] += 1
                time.sleep(0.02)
            elif answer.status == 503 and answer.body["billed"] is None:
                self.outcomes["unknown"] += 1
            else:
                self.outcomes[answer.status] += 1
                if answer.status == 200:
                    self.acknowledged.append(answer.headers["X-Request-Id"])
                else:
                    time.sleep(0.02)

    def wait_for_more(self) -> None:
        enough = len(self.acknowledged) + MORE_CALLS
        deadline = time.monotonic() + PATIENCE
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, f"nothing is answered any more: {self.outcomes}"
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.05))  # anywhere in a call

    def check_the_books(self) -> None:
        rows = self.ask("SELECT c.id::text, c.status, c.units FROM predictions_call c {mine}")
        logged = {id for id, status, _ in rows if status == 200}
        assert set(self.acknowledged) <= logged
        # Beyond these are calls that were committed and whose answer the crash cut off, or that
        # said that nobody could know; never one whose answer said that it was not charged.
        unsaid = self.outcomes["no answer"] + self.outcomes["unknown"]
        assert len(logged) - len(self.acknowledged) <= unsaid
        hours = "SELECT sum(c.calls), sum(c.units), sum(c.errors) FROM billing_usagehour c {mine}"
        assert self.ask(hours) == [(len(rows), len(logged), len(rows) - len(logged))]
        account = "SELECT live_units FROM billing_account c {mine}"
        assert self.ask(account) == [(len(logged),)]
        assert set(self.outcomes) <= {200, 503, "no answer", "unknown"}, self.outcomes

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        mine = (
            "WHERE c.customer_id = "
            f"(SELECT customer_id FROM accounts_apikey WHERE prefix = '{self.key[:19]}')"
        )
        return self.servers[0].rows(query.format(mine=mine))


def crash_repeatedly(servers: list[Server], crash: Callable[[], None], times: int) -> Crowd:
    (key,) = servers[0].issue(Issue(f"{secrets.token_hex(8)}@example.com"))
    with Crowd(servers, key) as crowd:
        for _ in range(times):
            crowd.wait_for_more()
            crash()
        crowd.wait_for_more()
    return crowd


def test_every_acknowledged_call_survives_kills_of_workers_at_any_moment(
    mortals: dict[str, Server],
) -> None:
    servers = list(mortals.values())

    def kill_a_worker() -> None:
        os.kill(random.choice(random.choice(servers).worker_pids()), signal.SIGKILL)

    crowd = crash_repeatedly(servers, kill_a_worker, KILLS_OF_WORKERS)
    crowd.check_the_books()
    assert crowd.outcomes["no answer"]  # or the kills hit nobody


def test_every_acknowledged_call_survives_kills_of_postgresql_and_nobody_restarts_anything(
    mortals: dict[str, Server], folder: Path
) -> None:
    servers = list(mortals.values())
    workers = {pid for server in servers for pid in server.worker_pids()}
    until_ready: list[float] = []

    def kill_and_start() -> None:
        kill_postgres(folder)
        time.sleep(0.2)  # meanwhile the clients get problems
        start_postgres(folder)
        started = time.monotonic()
        for server in servers:
            server.wait_until_ready()
        until_ready.append(time.monotonic() - started)

    crowd = crash_repeatedly(servers, kill_and_start, KILLS_OF_POSTGRES)
    crowd.check_the_books()
    assert crowd.outcomes[503]
    assert max(until_ready) < READY_SECONDS
    assert not crowd.outcomes["no answer"]
    assert {pid for server in servers for pid in server.worker_pids()} == workers


@pytest.mark.parametrize("door", DOORS)
def test_without_a_database_calls_and_probes_are_told_so(
    door: str, mortals: dict[str, Server], folder: Path
) -> None:
    server = mortals[door]
    (key,) = server.issue(Issue("owner@example.com"))
    kill_postgres(folder)
    answer = server.post("/v1/predictions", RAW, key)
    assert (answer.status, answer.body["code"]) == (503, "unavailable")
    assert (answer.headers["Retry-After"], answer.body["billed"]) == ("1", False)
    usage = server.get("/v1/usage", {"X-API-Key": key})
    assert (usage.status, usage.body["code"]) == (503, "unavailable")
    page = server.get("/dashboard/", {"Cookie": "sessionid=" + "a" * 32})
    assert (page.status, page.headers["Retry-After"]) == (503, "1")
    assert b"Temporarily unavailable" in page.raw
    assert server.get("/readyz").status == 503
    assert server.get("/livez").status == 200
    start_postgres(folder)
    server.wait_until_ready()
    assert server.post("/v1/predictions", RAW, key).status == 200


def test_postgresql_is_found_running_by_a_second_start(database: str, folder: Path) -> None:
    assert start_postgres(folder) == postgres.start(folder / "postgres") == database
