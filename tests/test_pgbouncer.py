"""The product behind PgBouncer, which gives each transaction another connection."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import psycopg2
import pytest

from tests.conftest import DIGIT, PASSWORD
from tests.serving import (
    DOORS,
    Issue,
    Server,
    drop_database,
    free_port,
    new_database,
    together,
)

RAW = DIGIT.read_bytes()
PGBOUNCER = "/usr/sbin/pgbouncer"
# As docs/operations.md has them: but the first, which is shorter here.
LIMITS = {
    "lock_timeout": "1s",
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
}
CONFIGURATION = """
[databases]
{name} = host={host} dbname={name} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
server_round_robin = 1
ignore_startup_parameters = options
"""


@pytest.fixture(scope="module")
def pooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """A server behind each door, both behind one pooler of three connections."""
    here = os.environ["DATABASE_URL"]
    direct = new_database(here)
    name = urlsplit(direct).path[1:]
    set_limits(direct, name)
    folder = Path(tempfile.mkdtemp())
    port = free_port()
    process = start_pgbouncer(direct, name, folder, port)
    url = f"postgresql://postgres@127.0.0.1:{port}/{name}"
    servers = {
        door: Server(url, tmp_path_factory.mktemp(door), {"MODEL_RUNTIME": "litert"}, door=door)
        for door in DOORS
    }
    try:
        servers["asgi"].prepare()
        for server in servers.values():
            server.serve()
        yield servers
    finally:
        for server in servers.values():
            server.stop()
        process.terminate()
        process.wait(timeout=10)
        shutil.rmtree(folder)
        drop_database(here, direct)


def set_limits(url: str, name: str) -> None:
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for limit, value in LIMITS.items():
            cursor.execute(f"ALTER ROLE postgres IN DATABASE {name} SET {limit} = '{value}'")
    connection.close()


def start_pgbouncer(direct: str, name: str, folder: Path, port: int) -> "subprocess.Popen[bytes]":
    """As the user whose PostgreSQL it is, since it will not run as root."""
    host = Path(parse_qs(urlsplit(direct).query)["host"][0])
    file = folder / "pgbouncer.ini"
    file.write_text(CONFIGURATION.format(name=name, host=host, port=port))
    folder.chmod(0o755)
    user = ["-u", host.owner()] if os.getuid() == 0 else []
    process = subprocess.Popen([PGBOUNCER, "-q", *user, file])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return process
        time.sleep(0.05)
    process.terminate()
    raise AssertionError("PgBouncer does not listen")


@pytest.fixture(params=DOORS)
def server(request: pytest.FixtureRequest, pooled: dict[str, Server]) -> Server:
    return pooled[request.param]


def key_of(server: Server, kind: str = "live", plan: str = "volume") -> str:
    (key,) = server.issue(Issue(f"{secrets.token_hex(8)}@example.com", kind, plan))
    return key


def whose(key: str) -> str:
    return f"(SELECT customer_id FROM accounts_apikey WHERE prefix = '{key[:19]}')"


def test_calls_at_once_are_answered_and_counted_to_the_unit(pooled: dict[str, Server]) -> None:
    server = pooled["asgi"]
    key = key_of(server)
    calls = [
        partial(pooled[door].post, "/v1/predictions", RAW, key) for door in DOORS for _ in range(50)
    ]
    answers = together(calls)
    assert {answer.status for answer in answers} == {200}
    assert sorted(answer.body["usage"]["period_units"] for answer in answers) == [*range(1, 101)]
    for sum_of in (
        "count(*), sum(units) FROM predictions_call",
        "sum(calls), sum(units) FROM billing_usagehour",
    ):
        assert server.rows(f"SELECT {sum_of} WHERE customer_id = {whose(key)}") == [(100, 100)]


def test_an_allowance_ends_to_the_unit(pooled: dict[str, Server]) -> None:
    key = key_of(pooled["asgi"], "test", "free")
    assert pooled["asgi"].post("/v1/predictions", RAW, key).status == 200
    pooled["asgi"].rows(
        f"UPDATE billing_account SET test_units = 19980 WHERE customer_id = {whose(key)}"
    )
    answers = together(
        [
            partial(pooled[door].post, "/v1/predictions", RAW, key)
            for door in DOORS
            for _ in range(30)
        ]
    )
    assert sorted(answer.status for answer in answers) == [200] * 20 + [429] * 40


def test_one_idempotency_key_is_one_call(pooled: dict[str, Server]) -> None:
    key = key_of(pooled["asgi"])
    again = {"Idempotency-Key": "one"}
    answers = together(
        [
            partial(pooled[door].post, "/v1/predictions", RAW, key, **again)
            for door in DOORS
            for _ in range(20)
        ]
    )
    assert {(answer.status, answer.raw) for answer in answers} == {(200, answers[0].raw)}
    rows = pooled["asgi"].rows(f"SELECT 1 FROM predictions_call WHERE customer_id = {whose(key)}")
    assert rows == [(1,)]


def test_a_revoked_key_is_dead(server: Server) -> None:
    key = key_of(server)
    assert server.post("/v1/predictions", RAW, key).status == 200
    server.manage("revoke_key", key[:19])
    assert {server.post("/v1/predictions", RAW, key).status for _ in range(6)} == {401}


def test_a_lock_that_stays_is_not_waited_for_without_end(server: Server) -> None:
    """A pooler does not hear of the limits of time in gunicorn.conf.py: the role has them."""
    key = key_of(server)
    assert server.post("/v1/predictions", RAW, key).status == 200
    holder = psycopg2.connect(server.database_url)
    try:
        with holder.cursor() as cursor:
            cursor.execute(
                f"SELECT 1 FROM billing_account WHERE customer_id = {whose(key)} FOR UPDATE"
            )
        began = time.monotonic()
        answer = server.post("/v1/predictions", RAW, key)
        assert (answer.status, answer.body["code"]) == (503, "unavailable")
        assert 1 <= time.monotonic() - began < 5
    finally:
        holder.close()
    assert server.post("/v1/predictions", RAW, key).status == 200


OPERATOR = """
import os
from accounts.models import User
user = User.objects.create_superuser(os.environ["EMAIL"], os.environ["PASSWORD"])
user.emailaddress_set.create(email=user.email, verified=True, primary=True)
print(user.pk)
"""


class Visitor:
    """Somebody with cookies, who fills in forms."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cookies = CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> str:
        return str(self.opener.open(self.server.url + path, timeout=30).read().decode())

    def fill(self, path: str, **values: str) -> str:
        """Send the form of a page; gives the address that it leads to."""
        self.get(path)
        (token,) = [cookie.value for cookie in self.cookies if cookie.name == "csrftoken"]
        body = urlencode({**values, "csrfmiddlewaretoken": token}).encode()
        return str(urlsplit(self.opener.open(self.server.url + path, body, timeout=30).url).path)


def test_pages_of_customers_and_of_the_operator_work_for_many_at_once(server: Server) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    pk = server.manage("shell", "-v0", "-c", OPERATOR, EMAIL=email, PASSWORD=PASSWORD)
    server.post("/v1/predictions", RAW, key_of(server))

    def visit() -> None:
        assert Visitor(server).fill("/accounts/password/reset/", email=email).endswith("/confirm/")
        visitor = Visitor(server)
        assert visitor.fill("/accounts/login/", login=email, password=PASSWORD) == "/dashboard/"
        for path in (
            "/dashboard/",
            "/dashboard/keys/",
            "/dashboard/usage/",
            "/admin/",
            "/admin/accounts/customer/",
            f"/admin/accounts/user/{pk}/change/",
            "/admin/accounts/apikey/",
            "/admin/billing/account/",
            "/admin/billing/usagehour/",
            "/admin/predictions/call/",
        ):
            assert "</html>" in visitor.get(path), path

    together([visit] * 4)


def test_an_export_is_whole_while_others_use_the_pool(server: Server) -> None:
    email = f"{secrets.token_hex(8)}@example.com"
    server.manage("shell", "-v0", "-c", OPERATOR, EMAIL=email, PASSWORD=PASSWORD)
    key = key_of(server)
    rows = 5_000
    assert server.post("/v1/predictions", RAW, key).status == 200
    server.rows(
        "INSERT INTO billing_usagehour (customer_id, key_id, release, hour, calls, units, errors) "
        "SELECT customer_id, key_id, release, hour - n * interval '1 hour', 1, 1, 0 "
        f"FROM billing_usagehour, generate_series(1, %s) n WHERE customer_id = {whose(key)}",
        rows - 1,
    )
    operator = Visitor(server)
    operator.fill("/accounts/login/", login=email, password=PASSWORD)
    exports = [partial(operator.get, "/admin/billing/usagehour/export/")] * 4
    calls = [partial(server.post, "/v1/predictions", RAW, key)] * 20
    exported = together([*exports, *calls])[: len(exports)]
    assert [str(text).count("\r\n") > rows for text in exported] == [True] * len(exports)
