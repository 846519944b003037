"""`/metrics`: what was counted by all workers, how the books stand, and who may read it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import predictions.metrics
from accounts.keys import Kind
from billing import metrics
from billing.meter_models import Closing, MeterPush
from billing.models import Account, Notice
from billing.worker_models import ProofRun, WorkerPass
from predictions.metrics import Counts, size_of
from tests.conftest import Holder
from tests.exposition import Samples, samples_of, value
from tests.serving import Server

TOKEN = "t" * 32
HOUR = timedelta(hours=1)
IMAGE = [0] * 784


def scraped(server: Server, **headers: str) -> Samples:
    answer = server.get("/metrics", headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples_of(answer.raw.decode())


def scraped_until(server: Server, calls: float) -> Samples:
    """Once so many calls are written, which may be a moment later."""
    deadline = time.monotonic() + 20
    while value(samples := scraped(server), "call_seconds_count") < calls:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return samples


def read(client: Client) -> Samples:
    return samples_of(client.get("/metrics").content.decode())


def test_calls_are_counted_by_how_they_ended(door: Server, server_key: str) -> None:
    before = scraped(door)
    for _ in range(5):
        assert door.post("/v1/predictions", [IMAGE, IMAGE], server_key).status == 200
    twice = {"Idempotency-Key": f"metrics {door.door}"}
    for _ in range(2):
        assert door.post("/v1/predictions", IMAGE, server_key, **twice).status == 200
    assert door.post("/v1/predictions", b"[", server_key).status == 400
    assert door.post("/v1/predictions", IMAGE, "mnist_live_nobody").status == 401
    after = scraped_until(door, value(before, "call_seconds_count") + 8)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    answered = {"status": "200", "problem": "", "release": "softmax-1"}
    assert more("calls_total", **answered) == 6
    assert more("calls_total", **{**answered, "release": ""}) == 1  # the replay
    assert more("calls_total", status="400", problem="malformed_json", release="") == 1
    assert more("calls_total", status="401", problem="invalid_key", release="") == 1
    assert more("units_total", release="softmax-1") == 11
    assert more("call_seconds_count") == more("call_seconds_bucket", le="+Inf") == 8
    assert more("settle_seconds_count", calls="1") == 8
    assert 0 < more("settle_seconds_sum", calls="1") < more("call_seconds_sum") < 60
    loaded = {"release": "softmax-1", "runtime": "tensorflow"}
    assert value(after, "model_loaded", **loaded) == 2


@pytest.fixture
def guarded(server: Server, tmp_path: Path) -> Iterator[Server]:
    """With a token, and a folder of its own for what it counts."""
    extra = {"METRICS_TOKEN": TOKEN, "MODEL_RUNTIME": "litert", "TMPDIR": str(tmp_path)}
    guarded = Server(server.database_url, tmp_path, extra)
    try:
        yield guarded.serve()
    finally:
        guarded.stop()


def test_what_a_worker_counted_outlives_it_and_the_server_takes_it_along(
    guarded: Server, server_key: str, tmp_path: Path
) -> None:
    def counted() -> tuple[float, float]:
        samples = scraped(guarded, Authorization=f"Bearer {TOKEN}")
        loaded = value(samples, "model_loaded", release="softmax-1", runtime="litert")
        return value(samples, "units_total", release="softmax-1"), loaded

    def comes_to_four_units_and_two_workers() -> None:
        while counted() != (4, 2):
            assert time.monotonic() < deadline, counted()
            time.sleep(0.1)

    deadline = time.monotonic() + 60
    for _ in range(4):
        guarded.post("/v1/predictions", IMAGE, server_key)
    comes_to_four_units_and_two_workers()
    dead = guarded.worker_pids()
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    while set(guarded.worker_pids()) & set(dead) or len(guarded.worker_pids()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    guarded.wait_until_ready()
    comes_to_four_units_and_two_workers()
    assert len(list(tmp_path.glob("mnistapi-metrics-*/*.db"))) > 0
    guarded.stop()
    assert list(tmp_path.glob("mnistapi-metrics-*")) == []


def test_what_several_batches_counted_is_written_in_one_go(db: None, client: Client) -> None:
    answered = predictions.metrics.Kind(200, "", "counted-1", 3)
    refused = predictions.metrics.Kind(400, "counted", "")
    before, counts = read(client), Counts()
    counts.add([answered, refused, answered], [0.002, 0.002, 20.0], 0.03)
    counts.add([answered], [0.02], 0.003)
    between = read(client)
    counts.write()
    after = read(client)

    def more(name: str, **labels: str) -> float:
        return round(value(after, name, **labels) - value(before, name, **labels), 6)

    assert value(between, "call_seconds_count") == value(before, "call_seconds_count")
    assert more("calls_total", status="200", problem="", release="counted-1") == 3
    assert more("calls_total", status="400", problem="counted", release="") == 1
    assert more("units_total", release="counted-1") == 9
    assert more("call_seconds_sum") == 20.024
    buckets = {"0.001": 0, "0.0025": 2, "0.01": 2, "0.025": 3, "10.0": 3, "+Inf": 4}
    assert {le: more("call_seconds_bucket", le=le) for le in buckets} == buckets
    sizes = {"1": (1, 0.003), "2-4": (1, 0.03)}
    for calls, (number, seconds) in sizes.items():
        assert more("settle_seconds_count", calls=calls) == number
        assert more("settle_seconds_sum", calls=calls) == seconds


def test_batches_are_told_apart_by_their_size() -> None:
    sizes = [size_of(calls) for calls in (1, 2, 4, 5, 16, 17, 64, 65, 128)]
    assert sizes == ["1", "2-4", "2-4", "5-16", "5-16", "17-64", "17-64", "65+", "65+"]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(f"Bearer {TOKEN}", 200), (f"Bearer {TOKEN}x", 404), (TOKEN, 404), ("Bearer é", 404)],
)
def test_with_a_token_who_has_it_reads_and_all_others_find_nothing(
    db: None, client: Client, settings: Any, authorization: str, status: int
) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert client.get("/metrics", headers={"Authorization": authorization}).status_code == status
    assert client.get("/metrics").status_code == 404


def test_without_a_token_only_a_laptop_reads(db: None, client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 404
    settings.LOCAL = False
    assert client.get("/metrics").status_code == 404


def test_a_scraper_with_any_host_over_plain_http_is_answered(
    db: None, client: Client, settings: Any
) -> None:
    settings.SECURE_SSL_REDIRECT, settings.METRICS_TOKEN = True, TOKEN
    headers = {"Host": "10.1.2.3:8080", "Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=headers).status_code == 200


def used(of: Holder, units: int, hour: datetime) -> None:
    of.customer.usagehour_set.create(key=of.row, hour=hour, calls=1, units=units, errors=0)


@pytest.fixture
def payer(holder: Callable[..., Holder]) -> Holder:
    payer = holder("owner@example.com", Kind.LIVE)
    Account.objects.of(payer.customer)
    Account.objects.update(plan="payg", stripe_subscription_id="sub_1")
    return payer


def test_the_last_proof_and_the_last_pass_are_told(db: None, client: Client) -> None:
    assert value(read(client), "books_read") == 1
    assert "proof_months" not in client.get("/metrics").content.decode()
    ended = timezone.now() - HOUR
    counts = {"customers": 3, "months": 7, "differing": 2, "unanswered": 1}
    ProofRun.objects.create(ended_at=ended - HOUR, months=9)
    ProofRun.objects.create(ended_at=ended, **counts)
    ProofRun.objects.create(night=ended.date(), months=1)  # under way
    WorkerPass.note(unhandled_events=4)
    samples = read(client)
    assert value(samples, "proof_last_timestamp_seconds") == ended.timestamp()
    assert value(samples, "proof_customers") == 3
    assert value(samples, "proof_months") == 7
    assert value(samples, "proof_differing_months") == 2
    assert value(samples, "proof_unanswered_customers") == 1
    assert value(samples, "unhandled_events") == 4
    assert time.time() - value(samples, "worker_last_pass_timestamp_seconds") < 60


def test_an_hour_that_is_over_and_not_pushed_is_told_with_its_age(
    payer: Holder, client: Client
) -> None:
    now = timezone.now()
    running = now.replace(minute=0, second=0, microsecond=0)
    used(payer, 1, running)
    assert value(read(client), "unpushed_hours") == 0
    used(payer, 5, running - 3 * HOUR)
    used(payer, 2, running - 2 * HOUR)
    samples = read(client)
    assert value(samples, "unpushed_hours") == 2
    age = (now - (running - 2 * HOUR)).total_seconds()
    assert age <= value(samples, "oldest_unpushed_hour_age_seconds") < age + 60
    for hours, units in ((3, 5), (2, 1)):
        hour = running - hours * HOUR
        MeterPush.objects.create(customer=payer.customer, hour=hour, units=units, pushed_at=now)
    samples = read(client)
    assert value(samples, "unpushed_hours") == 1  # of which Stripe has half
    assert value(samples, "oldest_unpushed_hour_age_seconds") < age - 3_500
    assert value(samples, "last_push_timestamp_seconds") == now.timestamp()


def test_usage_that_nobody_is_billed_for_is_not_unpushed(payer: Holder, client: Client) -> None:
    used(payer, 5, timezone.now() - 3 * HOUR)
    assert value(read(client), "unpushed_hours") == 1
    Account.objects.update(stripe_subscription_id="")
    assert value(read(client), "unpushed_hours") == 0


def test_drafts_that_wait_and_drafts_that_are_stuck_are_told(payer: Holder, client: Client) -> None:
    now = timezone.now()
    fields = {"customer": payer.customer, "period": now.date(), "opened_at": now - HOUR}
    Closing.objects.create(invoice_id="in_1", **fields)
    Closing.objects.create(invoice_id="in_2", difference="1 / 2 units", **fields)
    Closing.objects.create(invoice_id="in_3", difference="was mended", closed_at=now, **fields)
    samples = read(client)
    assert value(samples, "open_closings") == 2
    assert value(samples, "stuck_closings") == 1
    assert 3_600 <= value(samples, "oldest_open_closing_age_seconds") < 3_660


def test_mails_that_wait_are_told(payer: Holder, client: Client) -> None:
    now = timezone.now()
    for percent, made_at, sent_at in ((50, now - HOUR, None), (80, now - 2 * HOUR, now)):
        Notice.objects.create(
            account_id=payer.customer.pk,
            period=now.date().replace(day=1),
            kind=Notice.Kind.SPEND,
            percent=percent,
            limit=1,
            made_at=made_at,
            due_at=now - HOUR,
            sent_at=sent_at,
        )
    samples = read(client)
    assert value(samples, "due_notices") == 1
    assert 3_600 <= value(samples, "oldest_due_notice_age_seconds") < 3_660


def test_the_books_are_read_in_few_queries_and_without_the_log(db: None, client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        read(client)
    asked = [query["sql"] for query in queries if "SELECT" in query["sql"]]
    assert len(asked) == 7
    assert not any("predictions_call" in sql for sql in asked)


def test_without_a_database_the_process_still_tells_what_it_counted(
    db: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(read: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(metrics, "read_in_time", gone)
    samples = read(client)
    assert samples["mnistapi_books_read", frozenset()] == 0
    assert any(name == "mnistapi_call_seconds_count" for name, _ in samples)
    assert not any(name == "mnistapi_unpushed_hours" for name, _ in samples)


def test_a_fault_in_counting_costs_no_answer(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("predictions.metrics.count", full)
    assert call(IMAGE).status_code == 200


def test_no_label_says_who_called(call: Callable[..., Any], owner: Holder, client: Client) -> None:
    assert call(IMAGE).status_code == 200
    samples = [sample for sample in read(client) if sample[0].startswith("mnistapi_")]
    names = {name for _, labels in samples for name, _ in labels}
    assert names <= {"status", "problem", "release", "runtime", "calls", "le", "outcome", "agrees"}
    values = {text for _, labels in samples for _, text in labels}
    assert not any("@" in text or "mnist_" in text for text in values)
