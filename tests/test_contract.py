"""The API as clients meet it: over HTTP, against gunicorn, with what a test client cannot send."""

import socket
import subprocess
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import DIGIT
from tests.serving import Answer, Server

JSON = {"Content-Type": "application/json"}


def post(server: Server, key: str, raw: bytes, path: str = "/v1/predictions") -> Answer:
    return server.post(path, raw, key)


def exchange(server: Server, request: bytes) -> bytes:
    """Send bytes as they are; give all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(server: Server, key: str, *lines: str) -> bytes:
    fixed = [
        "POST /v1/predictions HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        "Connection: close",
    ]
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
def test_a_200_is_a_committed_row_by_its_request_id(
    path: str, server: Server, server_key: str
) -> None:
    answer = post(server, server_key, DIGIT.read_bytes(), path)
    assert answer.status == 200, answer.raw
    rows = server.rows(
        "SELECT status, units, release FROM predictions_call WHERE id = %s",
        answer.headers["X-Request-Id"],
    )
    assert rows == [(200, 1, "softmax-1")]


def test_an_empty_body_is_no_json(server: Server, server_key: str) -> None:
    answer = post(server, server_key, b"")
    assert (answer.status, answer.body["code"]) == (400, "malformed_json")


def test_a_chunked_body_needs_a_length(server: Server, server_key: str) -> None:
    request = head(server, server_key, "Transfer-Encoding: chunked") + b"3\r\n[0]\r\n0\r\n\r\n"
    answer = exchange(server, request)
    assert b" 411 " in answer.splitlines()[0]
    assert b'"length_required"' in answer


def test_a_body_without_a_length_needs_one(server: Server, server_key: str) -> None:
    answer = exchange(server, head(server, server_key))
    assert b" 411 " in answer.splitlines()[0]


def test_a_body_that_is_cut_off_is_refused(server: Server, server_key: str) -> None:
    request = head(server, server_key, "Content-Length: 2000") + b"[0, 0"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b" 400 " in answer.splitlines()[0]
    assert b'"billed": false' in answer


@pytest.mark.parametrize("length", ["-1", "x", "1e3"])
def test_a_length_that_is_no_number_is_refused(
    length: str, server: Server, server_key: str
) -> None:
    answer = exchange(server, head(server, server_key, f"Content-Length: {length}"))
    assert b" 400 " in answer.splitlines()[0]


def test_64_megabytes_are_refused_with_a_problem_that_curl_can_read(
    server: Server, server_key: str, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    result = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--max-time", "20"),
            *("--header", f"X-API-Key: {server_key}", "--header", "Content-Type: application/json"),
            *("--data-binary", f"@{large}", f"{server.url}/v1/predictions"),
        ],
        capture_output=True,
        text=True,
    )
    assert '"body_too_large"' in result.stdout, result


def test_deep_nesting_is_no_json(server: Server, server_key: str) -> None:
    answer = post(server, server_key, b"[" * 100_000)
    assert (answer.status, answer.body["code"]) == (400, "malformed_json")


def test_every_refusal_is_in_the_log_and_costs_nothing(server: Server, server_key: str) -> None:
    ids = [
        post(server, server_key, raw).headers["X-Request-Id"]
        for raw in (b"", b"[", b"[]", b"[-1]", b'{"x": 1}', b"null")
    ]
    rows = server.rows(
        "SELECT status >= 400, units FROM predictions_call WHERE id = ANY(%s::uuid[])", ids
    )
    assert rows == [(True, 0)] * len(ids)


def test_an_id_that_a_client_chooses_is_not_taken_over(server: Server, server_key: str) -> None:
    chosen = str(uuid.uuid4())
    headers = {**JSON, "X-API-Key": server_key, "X-Request-Id": chosen}
    answer = server.send("POST", "/v1/predictions", DIGIT.read_bytes(), headers)
    assert answer.headers["X-Request-Id"] != chosen


def test_a_revoked_key_is_dead_under_load_in_every_process(server: Server) -> None:
    key = server.manage("create_key", "owner@example.com")
    raw = DIGIT.read_bytes()
    revoked = threading.Event()

    def call_across_the_revocation() -> list[tuple[bool, int]]:
        """Each answer, with whether the key was revoked when its call began."""
        answers: list[tuple[bool, int]] = []
        while len(answers) < 1_000 and sum(after for after, _ in answers) < 10:
            began_after = revoked.is_set()
            answers.append((began_after, post(server, key, raw).status))
        return answers

    with ThreadPoolExecutor(8) as clients:
        running = [clients.submit(call_across_the_revocation) for _ in range(8)]
        server.manage("revoke_key", key[:19])
        revoked.set()
        answers = [answer for client in running for answer in client.result()]
    assert (False, 200) in answers
    assert {status for after, status in answers if after} == {401}


def test_a_content_type_that_cannot_be_read_is_none(server: Server, server_key: str) -> None:
    headers = {"Content-Type": "application/json; a*=foo'en'bar", "X-API-Key": server_key}
    answer = server.send("POST", "/v1/predictions", DIGIT.read_bytes(), headers)
    assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")


def test_no_key_gets_into_the_log_of_the_server(server: Server, server_key: str) -> None:
    post(server, server_key, DIGIT.read_bytes())
    post(server, server_key, b"", f"/v1/predictions?key={server_key}")
    server.get(f"/v1/{server_key}", {"Referer": server_key})
    log = server.log.read_text()
    assert '"path": "/v1/predictions"' in log
    assert server_key not in log
    assert server_key[19:] not in log


def test_each_worker_restored_the_model_itself(server: Server) -> None:
    """The master, which forks, has no TensorFlow in its memory."""
    assert server.process
    workers = server.worker_pids()
    assert len(workers) == 2
    mapped = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in [server.process.pid, *workers]}
    assert "tensorflow" not in mapped.pop(server.process.pid)
    assert all("tensorflow" in maps for maps in mapped.values())
