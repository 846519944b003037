"""What the documents say in numbers, code and commands."""

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings
from django.core.management import call_command, get_commands
from django.db import connection

from billing.plans import FREE, PAYG, PLANS, SANDBOX
from mnistapi import settings as production
from predictions import forms, idempotency
from predictions.models import Idempotency
from tests.conftest import Holder
from tests.serving import Server

DOCS = settings.BASE_DIR / "docs"
ERRORS, OPERATIONS, PREPROCESSING = (
    " ".join((DOCS / f"{name}.md").read_text().split())
    for name in ("errors", "operations", "preprocessing")
)
SET_BY_ITSELF = {"DJANGO_SETTINGS_MODULE", "PROMETHEUS_MULTIPROC_DIR", "TF_CPP_MIN_LOG_LEVEL"}
(SNIPPET,) = re.findall(
    r"^```python\n(.*?)^```$", (DOCS / "preprocessing.md").read_text(), re.M | re.S
)


def test_the_limits_in_the_documents_are_those_of_the_plans() -> None:
    assert FREE.max_images == SANDBOX.max_images
    assert (
        f"{FREE.max_images:,} on Free and with test keys, {PAYG.max_images:,} on Pay as you go, "
        f"{PLANS['volume'].max_images:,} on Volume" in ERRORS
    )
    assert f"Test keys have {SANDBOX.allowance:,} units a month of their own" in ERRORS


def test_the_sizes_of_bodies_in_the_documents_are_those_of_the_code() -> None:
    json, npy = (forms.FORMS[f"application/{form}"].max_body for form in ("json", "x-npy"))
    assert f"JSON may have {json // 2**20} MiB ({json:,} bytes)" in ERRORS
    assert f"A `.npy` file may have {npy // 2**20} MiB ({npy:,} bytes)" in ERRORS
    assert f"A file may have {npy // 2**20} MiB" in PREPROCESSING
    form = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    assert f"a form may have {form // 2**20} MiB ({form:,} bytes)" in ERRORS


def test_the_headers_of_the_rate_in_the_documents_are_those_of_a_first_call(
    call: Any, holder: Any
) -> None:
    live = holder("owner@example.com", "live")
    answer = call([0] * 784, key=live.key)
    for name in ("RateLimit-Policy", "RateLimit"):
        assert f"{name}: {answer[name]}" in ERRORS


def test_the_sizes_of_arrays_in_the_documents_are_those_of_numpy() -> None:
    for dtype in ("uint8", "float32", "float64"):
        file = io.BytesIO()
        np.save(file, np.zeros((1000, 28, 28), dtype))
        assert f"{len(file.getvalue()) / 1e6:.1f} MB as `{dtype}`" in PREPROCESSING


def test_the_npy_snippet_works(
    server: Server, server_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", server_key)
    names: dict[str, Any] = {"images": np.zeros((3, 28, 28), np.uint8)}
    exec(SNIPPET.replace("https://…", server.url), names)
    with names["urllib"].request.urlopen(names["request"], timeout=40) as answer:
        assert answer.read().count(b'"digit"') == 3


@pytest.mark.parametrize("document", sorted(DOCS.glob("*.md")), ids=lambda path: path.stem)
def test_each_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text()
    named = re.findall(r"`((?:[\w.-]+/)+[\w-]+\.\w+)`", text)
    tests = [f"tests/{name}" for name in re.findall(r"`(test_\w+\.py)`", text)]
    linked = [f"docs/{path}" for path in re.findall(r"\]\(([\w./-]+\.md)", text)]
    missing = {name for name in named + tests + linked if not (settings.BASE_DIR / name).exists()}
    assert missing == set()


@pytest.mark.parametrize("file", ["Procfile", "manifest.yml", "docs/operations.md"])
def test_each_command_that_is_named_exists(file: str) -> None:
    text = " ".join((settings.BASE_DIR / file).read_text().split())
    named = re.findall(r"manage\.py (\w+)", text)
    assert named
    assert set(named) <= set(get_commands())


def test_the_environment_is_documented_as_it_is_read() -> None:
    rooms = ("accounts", "billing", "predictions", "mnistapi", "model", "sandbox")
    files = [path for room in rooms for path in (settings.BASE_DIR / room).rglob("*.py")]
    code = "\n".join(path.read_text() for path in [settings.BASE_DIR / "gunicorn.conf.py", *files])
    read = set(re.findall(r'\b(?:env\.\w+|listed|environ(?:\.\w+)?)[(\[]\s*"(\w+)"', code))
    assert documented() == read - SET_BY_ITSELF


def test_cloud_foundry_sets_what_is_documented_and_all_that_is_required() -> None:
    manifest = (settings.BASE_DIR / "manifest.yml").read_text()
    given = set(re.findall(r"^    ([A-Z_]+): ", manifest, re.M))
    assert given <= documented()
    # The platform gives the address of a bound database.
    assert {*production.required, "STRIPE_WEBHOOK_SECRET", "METRICS_TOKEN"} <= given


def documented() -> set[str]:
    """The names in the table of the environment."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "operations.md").read_text(), re.M))


@pytest.mark.parametrize("file", ["Procfile", "manifest.yml"])
def test_each_platform_runs_the_worker(file: str) -> None:
    text = (settings.BASE_DIR / file).read_text()
    assert "python manage.py bill --loop" in text
    assert re.search(r"^\W*(type: )?worker\b", text, re.M)


# What is forgotten daily


def stored(owner: Holder, key: str, seconds: int) -> None:
    """An answer that expires in so many seconds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()  # type: ignore[misc]
    Idempotency.objects.create(
        customer=owner.customer, livemode=True, idempotency_key=key, digest=b"d",
        call_id="01a20ace-da66-71ca-870b-1ba8b457a2d1", body=b"{}",
        expires_at=now + timedelta(seconds=seconds),
    )  # fmt: skip


def keys() -> set[str]:
    return set(Idempotency.objects.values_list("idempotency_key", flat=True))


def test_stored_answers_are_deleted_once_they_have_expired(owner: Holder) -> None:
    for key, seconds in (("old", -86400), ("just over", -1), ("young", 60)):
        stored(owner, key, seconds)
    call_command("roll_log")
    assert keys() == {"young"}


def test_they_are_deleted_some_at_a_time(owner: Holder, django_assert_num_queries: Any) -> None:
    for number in range(5):
        stored(owner, str(number), -1)
    stored(owner, "young", 60)
    with django_assert_num_queries(3):
        assert idempotency.forget_expired(at_once=2) == 5
    assert keys() == {"young"}
