"""What happens at the doors to those who come together: each one's trouble hurts only himself."""

import asyncio
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psycopg2
import pytest
from django.http import HttpResponse
from PIL import Image
from structlog.testing import capture_logs

from accounts.authentication import no_such_key
from accounts.models import APIKey
from mnistapi.django_bridge import PROBES, THREADS, Application, bridge
from mnistapi.problems import (
    WRONG_SHAPE,
    Problem,
    internal_error,
    outcome_unknown,
    unavailable,
)
from mnistapi.protocol import MAX_HEAD, Exchange, Seen
from mnistapi.uuid7 import uuid7
from model import serving
from predictions import door as doors
from predictions.calls import OpenCall
from predictions.door import LARGE_HELD, Door, SmallCall, is_our_host
from predictions.endpoints import PREDICTIONS, Head
from predictions.gathering import Gathering
from predictions.known_keys import digest_of
from tests.conftest import DIGIT
from tests.pictures import MULTIPART, THREE, form, jpeg, png
from tests.serving import (
    DOORS,
    Answer,
    Issue,
    Server,
    answer_of,
    drop_database,
    new_database,
    together,
)

RAW = DIGIT.read_bytes()
PIXELS = np.array(orjson.loads(RAW), np.uint8)
STALLED = 50
AT_ONCE = 10  # seconds in which whoever does not stall is answered, beside those who do
GRACEFUL = 30  # seconds that gunicorn grants
LEAVING = 12  # more than there are threads
LEFT_SECONDS = 5  # in which a thread notices that nobody reads on


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    Server(url, tmp_path_factory.mktemp("database")).prepare()
    yield url
    drop_database(here, url)


@pytest.fixture
def own_server(database: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server that the test may end, or that is told something else."""
    started: list[Server] = []

    def start(door: str, workers: int = 1, app: str = "", **extra: str) -> Server:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        extra = {"MODEL_RUNTIME": "litert", **extra}
        server = Server(database, folder, extra, door=door, workers=workers, app=app)
        started.append(server)
        return server.serve()

    yield start
    for server in started:
        server.stop()


def new_key(server: Server) -> str:
    (key,) = server.issue(Issue(f"{secrets.token_hex(8)}@example.com"))
    return key


@contextmanager
def account_locked(server: Server, key: str) -> Iterator[None]:
    """Meanwhile no call with this key is settled: all wait for the account."""
    connection = psycopg2.connect(server.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM billing_account a JOIN accounts_apikey k USING (customer_id) "
                "WHERE k.prefix = %s FOR UPDATE OF a",
                [key[:19]],
            )
        yield
    finally:
        connection.close()


def statuses(server: Server, key: str) -> list[int]:
    rows = server.rows(
        "SELECT c.status FROM predictions_call c JOIN accounts_apikey k ON k.id = c.key_id "
        "WHERE k.prefix = %s",
        key[:19],
    )
    return [row[0] for row in rows]


def reset(connection: socket.socket) -> None:
    """Go away without a word, as a client that crashes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# Who goes away


def test_clients_that_go_away_while_their_calls_are_settled_hurt_nobody_else(door: Server) -> None:
    key = new_key(door)
    assert door.post("/v1/predictions", RAW, key).status == 200
    with ExitStack() as open:
        connections = [open.enter_context(door.connected()) for _ in range(24)]
        with account_locked(door, key):
            for connection in connections:
                connection.sendall(door.request(key, RAW))
            time.sleep(0.5)  # they are in batches now, or wait for a thread
            for connection in connections[::2]:
                reset(connection)
            time.sleep(0.2)
        assert {answer_of(connection).status for connection in connections[1::2]} == {200}
    assert door.post("/v1/predictions", RAW, key).status == 200


def test_a_client_that_closes_in_the_middle_of_a_body_is_logged_and_not_charged(
    door: Server,
) -> None:
    key = new_key(door)
    with door.connected() as connection:
        connection.sendall(door.request(key, RAW[:100], length=len(RAW)))
        time.sleep(0.2)
        reset(connection)
    wait_until(lambda: statuses(door, key) == [400])


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + AT_ONCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# A worker that is told to stop


@pytest.mark.parametrize("name", DOORS)
def test_what_was_accepted_is_answered_before_a_server_ends(
    name: str, own_server: Callable[..., Server]
) -> None:
    server = own_server(name)
    key = new_key(server)
    assert server.post("/v1/predictions", RAW, key).status == 200
    with ThreadPoolExecutor(4) as clients:
        with account_locked(server, key):
            post = partial(server.post, "/v1/predictions", RAW, key)
            waiting = [clients.submit(post) for _ in range(4)]
            time.sleep(0.5)
            assert server.process
            server.process.terminate()
            time.sleep(1)
            assert server.is_running
        assert [call.result().status for call in waiting] == [200] * 4
    assert server.process.wait(timeout=GRACEFUL) == 0
    assert statuses(server, key) == [200] * 5


@pytest.mark.parametrize("name", DOORS)
def test_a_server_that_ends_under_load_leaves_no_call_that_was_charged_unanswered(
    name: str, own_server: Callable[..., Server]
) -> None:
    server = own_server(name, workers=2)
    key = new_key(server)

    answered: list[int] = []

    def call_until_it_ends() -> None:
        with suppress(OSError, HTTPException):
            while True:
                answered.append(server.post("/v1/predictions", RAW, key).status)

    with ThreadPoolExecutor(16) as clients:
        running = [clients.submit(call_until_it_ends) for _ in range(16)]
        wait_until(lambda: len(answered) > 100)
        assert server.process
        server.process.terminate()
        began = time.monotonic()
        assert server.process.wait(timeout=GRACEFUL) == 0
        assert time.monotonic() - began < AT_ONCE
        for client in running:
            client.result()
    assert answered == [200] * len(answered)
    assert statuses(server, key) == answered


# Who stalls

LARGE_FILE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


def stalled_requests(server: Server, key: str) -> dict[str, bytes]:
    large = b"Content-Type: application/x-npy\r\nContent-Length: 9000000"
    request = server.request(key, b"", length=1000)
    form = (
        f"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Cookie: csrftoken={'a' * 32}\r\n"  # with which Django looks for its double in the form
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"
    ).encode()
    event = f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode()
    head, _, lines = request.partition(b"Content-Type")
    del lines
    return {
        "a head that does not end": request[:-2],
        "a call without its body": request,
        "half a body": request + b"[0, 0, ",
        "a large body that does not begin": head + large + b"\r\n\r\n",
        "half a large body": head + large + b"\r\n\r\n" + b"x" * 100_000,
        "half a form": form + b"login=x",
        "a form without its body": form,
        "half an event": event + b"Content-Length: 1000000\r\n\r\n" + b"x" * 500_000,
        "half of what is too large": event + b"Content-Length: 2000000\r\n\r\n" + b"x" * 1_100_000,
        "nothing at all": b"",
    }


@pytest.mark.parametrize(
    "name",
    [
        "a head that does not end",
        "a call without its body",
        "half a body",
        "a large body that does not begin",
        "half a large body",
        "half a form",
        "a form without its body",
        "half an event",
        "half of what is too large",
        "nothing at all",
    ],
)
def test_clients_that_stall_keep_nobody_else_waiting(
    name: str, server: Server, server_key: str
) -> None:
    stalled = stalled_requests(server, server_key)[name]
    with ExitStack() as open:
        for _ in range(STALLED):
            open.enter_context(server.connected()).sendall(stalled)
        began = time.monotonic()
        calls = [partial(server.post, "/v1/predictions", RAW, server_key)] * 8
        pages = [partial(server.get, "/accounts/login/")] * 8
        large = partial(large_call, server, server_key)
        assert {answer.status for answer in together([*calls, *pages, large])} == {200}
        assert time.monotonic() - began < AT_ONCE


def large_call(server: Server, key: str) -> Answer:
    """Of 10 MB: 1,600 images of float64."""
    body = saved(np.tile(PIXELS / 255, (1_600, 1)))
    return server.post("/v1/predictions", body, key, **{"Content-Type": "application/x-npy"})


def saved(array: object) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a head that does not end", "half a body", "nothing at all"])
def test_a_connection_on_which_a_request_is_awaited_for_too_long_is_closed(
    name: str, own_server: Callable[..., Server]
) -> None:
    server = own_server("asgi", app="tests.impatient:application")
    key = new_key(server)
    began = time.monotonic()
    with server.connected() as connection:
        connection.sendall(stalled_requests(server, key)[name])
        assert connection.recv(1) == b""
    assert 1 <= time.monotonic() - began < AT_ONCE


def test_clients_that_ask_for_much_at_once_and_leave_keep_no_thread(server: Server) -> None:
    request = f"GET {LARGE_FILE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as open:
        connections = [open.enter_context(server.connected()) for _ in range(4 * LEAVING)]
        for connection in connections:
            connection.sendall(request * 10)
        time.sleep(1)
        for connection in connections:
            reset(connection)
    began = time.monotonic()
    assert {server.get("/accounts/login/").status for _ in range(10)} == {200}
    assert time.monotonic() - began < AT_ONCE


def test_a_file_is_sent_to_who_has_sent_all_and_listens(server: Server) -> None:
    request = f"GET {LARGE_FILE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    assert server.exchange(request, half_close=True).raw == server.get(LARGE_FILE).raw


def test_files_that_are_not_fetched_hold_no_thread(own_server: Callable[..., Server]) -> None:
    server = own_server("asgi")
    request = f"GET {LARGE_FILE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as open:
        for _ in range(2 * LEAVING):
            open.enter_context(server.connected()).sendall(request * 10)
        time.sleep(3)  # now as much is on its way as there is room for
        began = time.monotonic()
        assert {server.get(path).status for path in ("/accounts/login/", "/readyz")} == {200}
        assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("path", PROBES)
def test_a_probe_is_answered_while_all_others_wait(path: str) -> None:
    is_over = threading.Event()

    def django(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != path:
            is_over.wait(AT_ONCE)
        start_response("200 OK", [])
        return HttpResponse()

    async def ask() -> None:
        application = bridge(django)
        others = ["/slow/"] * 2 * THREADS + [probe for probe in PROBES if probe != path]
        slow = [asyncio.ensure_future(asked(application, other)) for other in others]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(AT_ONCE / 2):
            await asked(application, path)
        is_over.set()
        await asyncio.gather(*slow)

    asyncio.run(ask())


async def asked(application: Application, path: str) -> None:
    messages = [{"type": "http.request"}]

    async def receive() -> dict[str, Any]:
        while not messages:
            await asyncio.sleep(AT_ONCE)
        return messages.pop()

    async def send(message: dict[str, Any]) -> None: ...

    scope = {"type": "http", "method": "GET", "http_version": "1.1", "path": path}
    await application(scope | {"query_string": b"", "headers": []}, receive, send)


@pytest.mark.parametrize(
    ("before", "now", "is_hardly_fetched"),
    [
        (Seen(1, 0, 0), Seen(1, 9, 0), False),
        (Seen(1, 9, 0), Seen(1, 9, 0), True),
        (Seen(1, 9, 0), Seen(1, 8, 1), True),
        (Seen(1, 9, 0), Seen(9, 9, 1), True),
        (Seen(1, 9, 0), Seen(1, 9, 10**6), False),
        (Seen(1, 9, 0), Seen(1, 0, 9), False),
    ],
)
def test_an_answer_is_fetched_in_more_than_drops(
    before: Seen, now: Seen, is_hardly_fetched: bool
) -> None:
    assert now.is_hardly_fetched_since(before) == is_hardly_fetched


def test_a_connection_on_which_answers_are_not_fetched_is_closed_and_its_thread_goes_on(
    own_server: Callable[..., Server],
) -> None:
    server = own_server("asgi", app="tests.impatient:application")
    request = f"GET {LARGE_FILE} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    with ExitStack() as open:
        connections = [open.enter_context(server.connected()) for _ in range(LEAVING)]
        for connection in connections:
            connection.sendall(request * 10)
        time.sleep(4)  # the first look, the second, and some
        began = time.monotonic()
        assert server.get("/accounts/login/").status == 200
        assert time.monotonic() - began < AT_ONCE
        fetched = sum(map(len, iter(partial(connections[0].recv, 2**20), b"")))
    assert fetched < 10 * len(server.get(LARGE_FILE).raw)


# Large bodies


def test_large_bodies_beside_small_ones_are_all_answered_rightly(door: Server) -> None:
    key = new_key(door)

    def small(_: int) -> list[int]:
        answers = [door.post("/v1/predictions", RAW, key) for _ in range(10)]
        return [answer.body["predictions"][0]["digit"] for answer in answers]

    def large(_: int) -> set[int]:
        answer = large_call(door, key)
        digits = [prediction["digit"] for prediction in answer.body["predictions"]]
        assert len(digits) == 1_600
        return set(digits)

    with ThreadPoolExecutor(12) as clients:
        smalls, larges = clients.map(small, range(8)), clients.map(large, range(4))
        assert list(smalls) == [[3] * 10] * 8
        assert list(larges) == [{3}] * 4
    assert statuses(door, key) == [200] * 84


def test_one_customer_cannot_have_all_the_room_for_large_bodies(
    own_server: Callable[..., Server],
) -> None:
    server = own_server("asgi")
    greedy, other = new_key(server), new_key(server)
    begun = stalled_requests(server, greedy)["half a large body"]
    with ExitStack() as open, dripping() as drip:
        for _ in range(LARGE_HELD):
            connection = open.enter_context(server.connected())
            connection.sendall(begun)
            drip(connection)
        began = time.monotonic()
        assert large_call(server, other).status == 200
        assert time.monotonic() - began < AT_ONCE


@contextmanager
def dripping() -> Iterator[Callable[[socket.socket], None]]:
    """Sends a byte a second on each of the connections that it is given."""
    connections: list[socket.socket] = []
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(1):
            for connection in connections:
                with suppress(OSError):
                    connection.send(b"x")

    with ThreadPoolExecutor(1) as thread:
        thread.submit(drip)
        try:
            yield connections.append
        finally:
            is_over.set()


@pytest.mark.parametrize(("is_full", "is_refused"), [(True, True), (False, False)])
def test_a_large_body_that_comes_in_drops_gives_up_a_place_that_is_needed(
    is_full: bool, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "STALLED_SECONDS", 0.1)
    drops = iter(range(20))

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"body": b"x", "more_body": next(drops) < 19}

    reading = doors.large_body_of(receive, lambda: is_full)
    with pytest.raises(Problem) if is_refused else nullcontext():
        assert asyncio.run(reading) == b"x" * 20
    assert (next(drops, None) is None) != is_refused


def test_a_picture_does_not_wait_for_a_large_body_of_pictures(
    own_server: Callable[..., Server],
) -> None:
    server = own_server("asgi")
    key = new_key(server)
    page = np.asarray(Image.fromarray(THREE).resize((400, 400)))
    send = partial(server.post, "/v1/predictions", key=key)
    with ThreadPoolExecutor(1) as client:
        large = client.submit(send, form([jpeg(page)] * 100), **{"Content-Type": MULTIPART})
        beside = 0
        while not large.done():
            assert send(png(THREE), **{"Content-Type": "image/png"}).status == 200
            beside += not large.done()
    assert large.result().status == 200, large.result().text
    assert beside >= 3  # the first may come before it, and the last behind it


# Heads and addresses


ENDLESS = {
    "a header": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ", b"a" * 2**14),
    "headers": (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X-A: a\r\n" * 2**11),
    "an address": (b"POST /", b"a" * 2**14),
    "a trailer": (
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: ",
        b"a" * 2**14,
    ),
    "a method": (b"P", b"O" * 2**14),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_that_never_ends_is_refused_before_it_is_large(name: str, server: Server) -> None:
    begin, more = ENDLESS[name]
    sent = 0
    with server.connected() as connection:
        connection.settimeout(AT_ONCE)
        connection.sendall(begin)
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 64 * MAX_HEAD:
                connection.sendall(more)
                sent += len(more)
                time.sleep(0.001)
    assert sent < 32 * MAX_HEAD


def test_a_head_that_is_too_large_is_answered_431(server: Server) -> None:
    with server.connected() as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * MAX_HEAD)
        assert answer_of(connection).status == 431
        assert connection.recv(1) == b""


def test_a_head_below_the_limit_is_read(server: Server, server_key: str) -> None:
    request = server.request(server_key, RAW, "X-A: " + "a" * (MAX_HEAD - 2**12))
    assert server.exchange(request).status == 200


def test_a_large_head_behind_a_large_body_on_one_connection_is_read(
    server: Server, server_key: str
) -> None:
    body = b" " * (2 * MAX_HEAD) + RAW
    request = server.request(server_key, body, "X-A: " + "a" * (MAX_HEAD // 2))
    with server.connected() as connection:
        connection.sendall(request * 3)
        assert [answer_of(connection).status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize(
    "path", ["/v1/predictions?a=\xff", "/\xe9", "/v1/\xff?\xfe", "/docs/?\xe9"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_bytes_beyond_ascii_in_an_address_do_no_harm(
    method: str, path: str, door: Server, server_key: str
) -> None:
    request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {server_key}\r\n\r\n"
    assert 200 <= door.exchange(request.encode("latin-1")).status < 500


# One after the other on one connection


def test_requests_that_are_sent_before_the_answers_are_answered_in_their_order(
    door: Server, server_key: str
) -> None:
    two = orjson.dumps([PIXELS.tolist()] * 2)
    page = f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n\r\n".encode()
    with door.connected() as connection:
        connection.sendall(
            door.request(server_key, RAW)
            + page
            + door.request(server_key, b"[")
            + door.request(server_key, two)
        )
        answers = [answer_of(connection) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 400, 200]
    assert answers[1].body == {"alive": True}
    assert answers[3].body["usage"]["units"] == 2


def test_a_connection_is_used_again_behind_head_and_static_files(door: Server) -> None:
    static = (Path(__file__).parent.parent / "mnistapi/static/mnistapi/digit.json").read_bytes()
    paths = ["/", "/accounts/login/", "/static/mnistapi/digit.json", "/openapi.json"]
    with door.connected() as connection:
        for path in paths:
            lengths = []
            for method in ("HEAD", "GET"):
                request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n\r\n"
                connection.sendall(request.encode())
                answer = answer_of(connection, method)
                assert answer.status == 200
                assert (len(answer.raw) > 0) == (method == "GET")
                lengths.append(answer.headers["Content-Length"])
            assert lengths[0] == lengths[1] == str(len(answer.raw))
            if path.startswith("/static"):
                assert answer.raw == static


def test_a_connection_that_has_been_idle_for_a_while_is_used_again(door: Server) -> None:
    """Gunicorn's own patience is 2 s, and a router in front keeps connections for longer."""
    page = f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n\r\n".encode()
    with door.connected() as connection:
        for seconds in (0, 3):
            time.sleep(seconds)
            connection.sendall(page)
            assert answer_of(connection).status == 200


# Who is believed


@pytest.mark.parametrize("name", DOORS)
def test_a_header_with_an_underscore_is_not_believed(
    name: str, own_server: Callable[..., Server]
) -> None:
    server = own_server(name, PUBLIC_URL="https://shop.example", ALLOWED_HOSTS="127.0.0.1")
    key = new_key(server)

    def status(*lines: str, key: str = key) -> int:
        return server.exchange(server.request(key, RAW, *lines)).status

    assert status("X-Forwarded-Proto: https") == 200
    assert status("X_Forwarded_Proto: https") == 403
    assert status("X_FORWARDED-PROTO: https") == 403
    assert status("X-Forwarded-Proto: http", "X_Forwarded_Proto: https") == 403
    assert status() == 403
    assert status("X-Forwarded-Proto: https", f"X_API_Key: {key}", key="") == 401
    page = "GET /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{}: https\r\n\r\n"
    assert server.exchange(page.format("X-Forwarded-Proto").encode()).status == 200
    assert server.exchange(page.format("X_Forwarded_Proto").encode()).status == 301


# A long list

OPERATOR = """
from django.contrib.auth import SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from accounts.models import User
user = User.objects.create_superuser("operator@example.com", "correct horse battery")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.save()
print(session.session_key)
"""
ROWS = 60_000
MANY = """
INSERT INTO predictions_call
    (id, at, customer_id, key_id, release, units, status, problem, latency_ms)
SELECT overlay(gen_random_uuid()::text placing left(one.id::text, 14) from 1 for 14)::uuid,
       at, customer_id, key_id, release, units, status, problem, latency_ms
FROM (SELECT * FROM predictions_call WHERE status = 200 LIMIT 1) AS one, generate_series(1, %s)
"""
FETCHING = """
SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'FETCH %%' AND state <> 'idle'
AND datname = current_database()
"""


@pytest.mark.parametrize("name", DOORS)
def test_an_export_streams_and_whoever_leaves_it_ends_it(
    name: str, own_server: Callable[..., Server]
) -> None:
    server = own_server(name)
    assert server.post("/v1/predictions", RAW, new_key(server)).status == 200
    server.rows(MANY, ROWS)
    operator = OPERATOR.replace("operator@", f"{secrets.token_hex(4)}@")
    session = server.manage("shell", "-v0", "-c", operator)
    request = (
        f"GET /admin/predictions/call/export/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Cookie: sessionid={session}\r\n\r\n"
    ).encode()
    with ExitStack() as open:
        connections = [open.enter_context(server.connected()) for _ in range(LEAVING)]
        for connection in connections:
            connection.sendall(request)
        assert b" 200 " in connections[0].recv(1_000)
        wait_until(lambda: server.rows(FETCHING)[0][0] > 0)  # before it has read all of it
        for connection in connections:
            reset(connection)
    began = time.monotonic()
    assert server.get("/accounts/login/").status == 200
    wait_until(lambda: server.rows(FETCHING) == [(0,)])
    assert time.monotonic() - began < LEFT_SECONDS
    assert server.exchange(request).raw.count(b"\r\n") > ROWS


# The log


@pytest.mark.parametrize(
    ("problem", "is_noted"),
    [
        (internal_error(), True),
        (unavailable(), True),
        (outcome_unknown(), True),
        (no_such_key(), True),
        (Problem(WRONG_SHAPE, ""), False),
    ],
)
def test_a_call_that_may_have_no_row_has_a_line_with_its_id(
    problem: Problem, is_noted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    exchange = Noted()

    async def settled(*args: Any) -> Problem:
        return problem

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    monkeypatch.setattr(Door, "outcome", settled)
    door, id = Door(send), uuid7()
    with capture_logs() as lines:
        asyncio.run(door.answer(PREDICTIONS, b"", {}, send, send))
        SmallCall(door, PREDICTIONS, HEAD, APIKey(), 0).answer(id, exchange, problem)
    ids = [dict(sent[0]["headers"])[b"x-request-id"].decode(), str(id)]
    assert f"x-request-id: {ids[1]}\r\n".encode() in exchange.lines
    assert [line["request_id"] for line in lines] == ids * is_noted


class Noted(Exchange):
    """Of an answer, its headers."""

    is_given_up = False

    def __init__(self) -> None: ...

    def give_up(self) -> None:
        self.is_given_up = True

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        self.lines = lines


# Which calls are taken at once

HEAD = Head("application/json", "9", "", None)
SMALL = {
    b"host": b"127.0.0.1",
    b"authorization": b"Bearer known",
    b"content-type": b"application/json",
    b"content-length": b"9",
}


@pytest.mark.parametrize(
    ("method", "url", "changed", "is_taken"),
    [
        (b"POST", b"/v1/predictions", {}, True),
        (b"POST", b"/", {}, True),
        (b"POST", b"/v1/predictions", {b"idempotency-key": b"a"}, True),
        (b"POST", b"/v1/predictions", {b"content-type": b"application/x-npy"}, True),
        (b"GET", b"/v1/predictions", {}, False),
        (b"POST", b"/v1/account", {}, False),
        (b"POST", b"/v1/predictions?a=b", {}, False),
        (b"POST", b"/v1/predictions", {b"host": b"elsewhere.example"}, False),
        (b"POST", b"/v1/predictions", {b"authorization": b"Bearer unknown"}, False),
        (b"POST", b"/v1/predictions", {b"authorization": b"Bearer revoked"}, False),
        (b"POST", b"/v1/predictions", {b"x-api-key": b"another"}, False),
        (b"POST", b"/v1/predictions", {b"content-length": b""}, False),
        (b"POST", b"/v1/predictions", {b"content-length": b"70000"}, False),
        (b"POST", b"/v1/predictions", {b"transfer-encoding": b"chunked"}, False),
        (b"POST", b"/v1/predictions", {b"content-type": b"text/plain"}, False),
    ],
)
def test_a_call_is_taken_at_once_if_nothing_but_its_body_is_to_be_looked_at(
    method: bytes, url: bytes, changed: dict[bytes, bytes], is_taken: bool, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    is_our_host.cache_clear()
    door = Door(asked)  # type: ignore[arg-type]
    door.keys.remember(digest_of(b"Bearer known", b""), APIKey(pk=1))
    dead = APIKey(pk=2, revoked_at=datetime(2026, 11, 1, tzinfo=UTC))
    door.keys.remember(digest_of(b"Bearer revoked", b""), dead)
    taker = door.taker(method, url, [*(SMALL | changed).items()])
    assert (taker is not None) == is_taken


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [(RAW, True), (b"[", True), (b'{"image": "iVBOR"}', False), (b'{"ink": "\\u0061"}', False)],
)
def test_a_call_whose_body_may_have_pictures_is_not_taken_at_once(
    body: bytes, is_taken: bool, release: str
) -> None:
    small, own = small_call(len(body)), Gathers()
    small.door.gathering = own
    assert small.take(body, Noted()) == is_taken
    assert len(own.undecoded) == is_taken


def test_a_call_that_is_slow_to_predict_is_predicted_where_it_holds_up_others_such_only(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, own = small_call(len(RAW)), Gathers()
    small.door.gathering = own
    monkeypatch.setattr(serving.current(), "seconds", 1)
    threads: list[str] = []

    def noted(calls: list[OpenCall]) -> None:
        threads.append(threading.current_thread().name)

    monkeypatch.setattr(doors, "predict", noted)

    async def run() -> None:
        small.decode(RAW, Noted())
        assert not own.settled
        while not own.settled:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), AT_ONCE))
    assert [name.partition("_")[0] for name in threads] == ["large"]


def test_who_cannot_be_decoded_is_not_left_waiting(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, own, exchange = small_call(len(RAW)), Gathers(), Noted()
    small.door.gathering = own
    monkeypatch.setattr(doors, "is_slow", lambda call: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small.decode(RAW, exchange)
    assert exchange.is_given_up
    assert not own.settled


def test_who_cannot_be_answered_is_not_left_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    small, exchange = small_call(len(RAW)), Noted()
    monkeypatch.setattr(doors, "written", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        small.answer(uuid7(), exchange, unavailable())
    assert exchange.is_given_up


def small_call(length: int) -> SmallCall:
    head = HEAD._replace(content_length=str(length))
    return SmallCall(Door(asked), PREDICTIONS, head, APIKey(), 0)  # type: ignore[arg-type]


class Gathers(Gathering):
    """What it is given, and no more."""

    def __init__(self) -> None:
        self.undecoded: list[Any] = []
        self.settled: list[Any] = []

    def decode_with_others(self, decode: Any) -> None:
        self.undecoded.append(decode)

    def settle(self, call: OpenCall, taker: Any) -> None:
        self.settled.append(call)
