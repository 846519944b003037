import json
import logging
import re
import sys
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from django.utils.text import slugify

from accounts import keys
from accounts.keys import Kind
from mnistapi import logs
from mnistapi.documents import rendered
from mnistapi.problems import PROBLEM_TYPES, ProblemType

ERRORS = (settings.BASE_DIR / "docs" / "errors.md").read_text()
BLANK = [0] * 784


@pytest.mark.parametrize("problem", PROBLEM_TYPES, ids=lambda problem: problem.code)
def test_each_problem_has_its_entry_in_the_docs(problem: ProblemType) -> None:
    entry = re.search(
        rf"^## {re.escape(problem.title)}\n\n`{problem.code}`, {problem.status}\.", ERRORS, re.M
    )
    assert entry, problem
    anchor = problem.uri.partition("#")[2]
    assert f'id="{anchor}"' in rendered("errors")


def test_the_docs_have_no_entry_that_no_problem_has() -> None:
    titles = re.findall(r"^## (.*)$", ERRORS, re.M)
    assert sorted(titles) == sorted(problem.title for problem in PROBLEM_TYPES)
    assert len({slugify(title) for title in titles}) == len(titles)


def test_an_unknown_address_of_the_api_is_a_problem(client: Client) -> None:
    answer = client.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer["X-Request-Id"]


@pytest.mark.parametrize("path", ["/v1", "//v1/predictions", "/v1/predictions/"])
def test_an_address_close_to_the_api_is_answered_with_a_problem(path: str, client: Client) -> None:
    answer = client.post(f"http://testserver{path}", BLANK, "application/json")
    assert answer.status_code in (404, 301) or answer["Content-Type"] == "application/problem+json"
    assert answer["Content-Type"] == "application/problem+json"


def test_another_host_is_refused_with_a_problem(client: Client) -> None:
    answer = client.post("/v1/predictions", BLANK, "application/json", headers={"Host": "evil"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


def test_a_database_that_is_gone_is_a_503_that_says_when_to_retry(
    call: Any, monkeypatch: Any
) -> None:
    def gone(*args: object) -> None:
        raise OperationalError("connection to server at 10.0.0.1 failed\nsecret")

    monkeypatch.setattr("billing.ledger.opened", gone)
    answer = call(BLANK)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"] == "1"
    assert "10.0.0.1" not in answer.content.decode()


def test_an_unexpected_error_is_a_problem_without_its_traceback(
    call: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("accounts.keys.is_well_formed", lambda *args: 1 / 0)
    answer = call(BLANK)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "ZeroDivision" not in answer.content.decode()


def test_a_key_that_gets_into_the_log_is_cut() -> None:
    key = keys.generate(Kind.LIVE)
    event = logs.redact_keys(None, "error", {"event": f"failed for {key}", "exception": f"…{key}…"})
    assert event == {
        "event": "failed for mnist_live_[redacted]",
        "exception": "…mnist_live_[redacted]…",
    }


def test_each_line_of_the_log_is_json_without_a_key() -> None:
    key = keys.generate(Kind.LIVE)
    form = dict(logs.LOGGING["formatters"]["json"])
    formatter = form.pop("()")(**form)
    try:
        raise ValueError(key)
    except ValueError:
        record = logging.LogRecord("a", logging.ERROR, "", 1, "%s!", (key,), sys.exc_info())
    line = formatter.format(record)
    assert key not in line
    assert json.loads(line)["event"] == "mnist_live_[redacted]!"
    assert "ValueError" in json.loads(line)["exception"]
