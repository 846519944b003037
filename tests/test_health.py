from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from mnistapi import health
from model import serving


def test_a_process_that_answers_is_alive(client: Client) -> None:
    assert client.get("/livez").status_code == 200


def test_with_database_and_model_it_is_ready(release: str, db: None, client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"ready": True, "database": True, "model": True, "release": release},
    )


def test_without_a_model_it_is_not_ready(db: None, client: Client, monkeypatch: Any) -> None:
    def cold() -> None:
        raise serving.NotLoaded

    monkeypatch.setattr(serving, "current", cold)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["model"]) == (503, False)
    assert answer.json()["release"] is None


def test_without_a_database_it_is_not_ready(
    release: str, db: None, client: Client, monkeypatch: Any
) -> None:
    class Gone:
        def cursor(self) -> None:
            raise OperationalError

    monkeypatch.setattr(health, "connection", Gone())
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, False)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_with_any_host_over_plain_http_is_answered(
    path: str, release: str, db: None, client: Client, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get(path, headers={"Host": "10.1.2.3:8080"}).status_code == 200
