"""The product as it runs: gunicorn, a model and PostgreSQL, reached over HTTP through a door."""

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import orjson
import psycopg2

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")

START_SECONDS = 60
# What gunicorn is told besides gunicorn.conf.py, to serve through each of the doors.
DOORS = {
    "asgi": ["mnistapi.asgi"],
    "wsgi": ["mnistapi.wsgi", "--worker-class", "gthread", "--threads", "4"],
}
ISSUE = """
import json, os
from accounts.keys import Kind
from billing.management.commands.create_key import issue
for email, kind, plan in json.loads(os.environ["CUSTOMERS"]):
    print(issue(email, Kind(kind), plan)[1])
"""


class Issue(NamedTuple):
    """A customer, made if he is new, and the key that he is given."""

    email: str
    kind: str = "live"
    plan: str = "volume"


@dataclass
class Answer:
    """What came back: `body` is read as JSON where it is JSON."""

    status: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def text(self) -> str:
        """Head and body."""
        return f"{self.headers}\n{self.raw.decode(errors='replace')}"


@dataclass
class Server:
    """gunicorn on a free port of 127.0.0.1, with the database and a folder of its own.

    `app` is loaded instead of the application of the door.
    """

    database_url: str
    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    door: str = "asgi"
    workers: int = 2
    app: str = ""
    port: int = field(default_factory=lambda: free_port())
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def mail(self) -> Path:
        """The folder in which each e-mail is a file."""
        return self.folder / "mail"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def environment(self) -> dict[str, str]:
        self.mail.mkdir(exist_ok=True)
        return {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "PUBLIC_URL": self.url,
            "ALLOWED_HOSTS": "127.0.0.1",
            "SECRET_KEY": "k" * 64,
            "API_KEY_PEPPER": "1:" + "p" * 64,
            "EMAIL_URL": f"filemail:///{self.mail}",
            "STRIPE_SECRET_KEY": "sk_test_of_nobody",
            "WEB_CONCURRENCY": str(self.workers),
            **self.extra,
        }

    def start(self) -> "Server":
        return self.prepare().serve()

    def prepare(self) -> "Server":
        """Bring the database up to date."""
        self.manage("migrate", "--verbosity=0")
        self.manage("createcachetable", "--verbosity=0")
        return self

    def serve(self) -> "Server":
        """Start on a database that is ready."""
        app, *options = DOORS[self.door]
        gunicorn = Path(sys.executable).with_name("gunicorn")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [gunicorn, self.app or app, *options, "--bind", f"127.0.0.1:{self.port}"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        self.wait_until_ready()
        return self

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=40)

    def manage(self, *arguments: str, **environment: str) -> str:
        """Run a command of manage.py in the environment of the server; give what it printed."""
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**self.environment, **environment},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def issue(self, *customers: Issue) -> list[str]:
        """A key for each, in one run of manage.py."""
        return self.manage("shell", "-v0", "-c", ISSUE, CUSTOMERS=json.dumps(customers)).split()

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.is_running:
            try:
                if self.get("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready in {START_SECONDS} s:\n{self.log.read_text()}")

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        return self.send("GET", path, None, headers or {})

    def post(self, path: str, body: object, key: str, **headers: str) -> Answer:
        """POST as JSON, or bytes as they are."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", **headers}
        return self.send("POST", path, raw, sent)

    def send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        request = urllib.request.Request(self.url + path, body, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def exchange(self, request: bytes, half_close: bool = False) -> Answer:
        """Send bytes as they are, maybe say that they were all, and read one answer."""
        with self.connected() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may answer before the end
                connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            return answer_of(connection, request.partition(b" ")[0].decode("latin-1"))

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=40) as connection:
            yield connection

    def request(
        self, key: str, body: bytes, *lines: str, path: str = "/v1/predictions", length: int = -1
    ) -> bytes:
        """A call as bytes, with more lines in its head; `length` is what it says of its body."""
        head = [
            f"POST {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {key}",
            "Content-Type: application/json",
            f"Content-Length: {len(body) if length < 0 else length}",
            *lines,
        ]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database, past the product."""
        connection = psycopg2.connect(self.database_url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(query, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def worker_pids(self) -> list[int]:
        assert self.process
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


class Exact(NamedTuple):
    """A connection of which nothing is read that belongs to the next answer."""

    connection: socket.socket

    def makefile(self, mode: str) -> Any:
        return self.connection.makefile(mode, buffering=1)


def answer_of(connection: socket.socket, method: str = "POST") -> Answer:
    """The next answer on a connection. Raises HTTPException if none comes."""
    response = http.client.HTTPResponse(Exact(connection), method=method)  # type: ignore[arg-type]
    response.begin()
    return Answer(response.status, response.headers, response.read())


def together(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Make all the calls at one moment, a thread each; give what they gave."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_database(url: str) -> str:
    """An empty database beside the one at `url`; gives its URL."""
    name = f"test_{secrets.token_hex(6)}"
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"


def drop_database(url: str, named: str) -> None:
    """Drop the database that `named` is the URL of."""
    name = named.partition("?")[0].rpartition("/")[2]
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    connection.close()
