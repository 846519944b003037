import json
import uuid
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from billing.models import Account, UsageHour
from billing.plans import SANDBOX
from mnistapi import problems, uuid7
from model import serving
from predictions import partitions, settlement
from predictions.calls import Answer
from predictions.forms import FORMS
from predictions.images import PIXELS
from predictions.models import Call
from tests.calls import opened
from tests.conftest import DIGIT, Holder
from tests.faults import lost_at

THREE = json.loads(DIGIT.read_text())
BLANK = [0] * PIXELS


def test_a_digit_is_recognised_logged_and_charged(call: Any, owner: Holder) -> None:
    answer = call(THREE)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    (prediction,) = body["predictions"]
    assert prediction["digit"] == 3
    assert prediction["confidence"] == max(prediction["probabilities"])
    assert len(prediction["probabilities"]) == 10
    assert sum(prediction["probabilities"]) == pytest.approx(1, abs=1e-5)
    assert body["release"] == "softmax-1"
    assert body["usage"] == {
        "units": 1,
        "cost": "0.00",
        "currency": "usd",
        "livemode": False,
        "period": f"{timezone.now():%Y-%m}",
        "period_units": 1,
        "remaining_free": SANDBOX.allowance - 1,
        "spend_limit_remaining": None,
    }
    row = Call.objects.get()
    assert str(row.id) == body["id"] == answer["X-Request-Id"]
    assert (row.customer, row.key) == (owner.customer, owner.row)
    assert (row.release, row.units, row.status, row.problem) == ("softmax-1", 1, 200, "")
    assert row.latency_ms > 0
    assert timezone.now() - row.at < timedelta(minutes=1)


def test_the_answer_is_what_the_model_gives(call: Any) -> None:
    image = (np.array(THREE, np.float32) / 255).reshape(1, 28, 28, 1)
    expected = serving.current().predict(image)[0]
    given = call(THREE).json()["predictions"][0]["probabilities"]
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_up_to_a_hundred_images_are_one_call_and_as_many_units(call: Any) -> None:
    body = call([THREE, BLANK] * (SANDBOX.max_images // 2)).json()
    digits = [prediction["digit"] for prediction in body["predictions"]]
    assert digits[0::2] == [3] * 50
    assert len(digits) == SANDBOX.max_images
    assert body["usage"]["units"] == body["usage"]["period_units"] == SANDBOX.max_images
    assert Call.objects.get().units == SANDBOX.max_images


def test_more_images_than_the_plan_allows_are_refused_and_logged(call: Any) -> None:
    answer = call([BLANK] * (SANDBOX.max_images + 1))
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_images")
    assert f"{SANDBOX.max_images} may be" in answer.json()["detail"]
    assert Call.objects.values_list("status", "units").get() == (422, 0)


def test_the_units_of_the_month_add_up_by_mode(call: Any, owner: Holder, holder: Any) -> None:
    live = holder("owner@example.com", kind="live")
    call([THREE, THREE])
    call([THREE, THREE, THREE], key=live.key)
    assert call(THREE).json()["usage"]["period_units"] == 3
    usage = call(THREE, key=live.key).json()["usage"]
    assert (usage["period_units"], usage["livemode"]) == (4, True)
    account = Account.objects.get()
    assert (account.test_units, account.live_units) == (3, 4)


def test_the_blog_s_contract_answers_ten_bare_probabilities(call: Any) -> None:
    pixels = [255 - value for value in THREE]
    answer = call(pixels, path="/")
    assert answer.status_code == 200
    expected = call({"image": THREE, "ink": "light"}).json()["predictions"][0]["probabilities"]
    np.testing.assert_allclose(answer.json(), expected, atol=1e-6)
    assert Call.objects.filter(pk=answer["X-Request-Id"], units=1).exists()


REFUSED = [
    ([0] * 783, "application/json", 422, "wrong_shape"),
    ("nonsense", "application/json", 400, "malformed_json"),
    ("x=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ([300] * PIXELS, "application/json", 422, "pixel_out_of_range"),
]


@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
@pytest.mark.parametrize(("body", "content_type", "status", "code"), REFUSED)
def test_a_refusal_is_logged_and_free(
    path: str, body: object, content_type: str, status: int, code: str, call: Any, owner: Holder
) -> None:
    answer = call(body, path=path, content_type=content_type)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["billed"]) == (code, status, False)
    assert problem["request_id"] == answer["X-Request-Id"]
    row = Call.objects.get(pk=problem["request_id"])
    assert (row.status, row.problem, row.units, row.release) == (status, code, 0, "")
    assert UsageHour.objects.values_list("calls", "units", "errors").get() == (1, 0, 1)
    assert Account.objects.get(customer=owner.customer).test_units == 0


def test_a_body_over_the_limit_is_refused_unread(call: Any) -> None:
    answer = call(b"[" + b" " * FORMS["application/json"].max_body + b"]")
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_another_method_is_refused_with_the_one_that_works(client: Client, owner: Holder) -> None:
    answer = client.get("/v1/predictions", headers={"X-API-Key": owner.key})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "POST" in answer["Allow"]


@pytest.mark.parametrize("method", ["options", "put", "delete", "patch"])
@pytest.mark.parametrize("path", ["/", "/v1/predictions"])
def test_no_other_method_is_a_call_that_nobody_logs(
    method: str, path: str, client: Client, owner: Holder
) -> None:
    answer = client.generic(method.upper(), path, headers={"X-API-Key": owner.key})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_what_a_client_accepts_changes_nothing(call: Any) -> None:
    assert call(THREE, headers={"Accept": "text/html"}).json()["predictions"][0]["digit"] == 3


def test_a_fault_of_the_model_is_logged_and_free(call: Any, monkeypatch: Any) -> None:
    class Broken:
        name = "broken"

        def predict(self, images: object) -> None:
            raise RuntimeError("secret detail")

    monkeypatch.setattr(serving, "current", Broken)
    answer = call(THREE)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.content.decode()
    assert Call.objects.values_list("status", "units", "release").get() == (500, 0, "")


def test_a_fault_of_the_decoder_is_logged_and_free(call: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("predictions.forms.numbers_in", lambda body: 1 / 0)
    assert call(THREE).status_code == 500
    assert Call.objects.values_list("status", "units").get() == (500, 0)


def test_nothing_is_answered_or_kept_when_the_log_cannot_be_written(call: Any) -> None:
    month = partitions.month(timezone.now().date())
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.NAME.format(month)}")
    answer = call(THREE)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert not UsageHour.objects.exists()
    assert not Account.objects.filter(test_units__gt=0).exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arrives", [True, False])
def test_a_connection_lost_at_the_commit_is_asked_about(arrives: bool, call: Any) -> None:
    with lost_at("COMMIT", arrives):
        answer = call(THREE)
    assert answer.status_code == (200 if arrives else 503)
    assert Call.objects.count() == (1 if arrives else 0)
    if not arrives:
        assert (answer.json()["code"], answer.json()["billed"]) == ("unavailable", False)


@pytest.mark.django_db(transaction=True)
def test_what_nobody_can_know_is_not_called_free(call: Any, monkeypatch: Any) -> None:
    def gone(*args: object, **filters: object) -> None:
        raise OperationalError("still starting up")

    monkeypatch.setattr(Call.objects, "filter", gone)
    with lost_at("COMMIT", arrives=True):
        answer = call(THREE)
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome_unknown")
    assert answer.json()["billed"] is None


def test_a_call_takes_three_statements(call: Any, django_assert_num_queries: Any) -> None:
    call(THREE)
    with django_assert_num_queries(3):  # the key; begin and lock; count, log and commit
        call(THREE)


def test_a_call_that_may_be_sent_again_takes_one_statement_more(
    call: Any, django_assert_num_queries: Any
) -> None:
    call(THREE)
    with django_assert_num_queries(4):
        call(THREE, headers={"Idempotency-Key": "a"})


def test_a_batch_of_calls_is_predicted_once_and_settled_one_by_one(
    owner: Holder, stranger: Holder, release: str, monkeypatch: Any
) -> None:
    sizes = []
    real = serving.current()

    class Counting:
        name = real.name

        def predict(self, images: Any) -> Any:
            sizes.append(len(images))
            return real.predict(images)

    monkeypatch.setattr(serving, "current", Counting)
    three = (np.array(THREE, np.float32) / 255).reshape(1, 28, 28, 1)
    blank = np.zeros((2, 28, 28, 1), np.float32)
    refused = problems.Problem(problems.WRONG_SHAPE, "no image")
    calls = [
        opened(owner, three),
        opened(owner, images=None, refusal=refused),
        opened(stranger, blank),
    ]
    first, second, third = settlement.settle(calls)
    assert sizes == [3]
    assert isinstance(first, Answer)
    assert isinstance(third, Answer)
    digits = [json.loads(answer.body)["predictions"][0]["digit"] for answer in (first, third)]
    assert digits[0] == 3
    assert len(json.loads(third.body)["predictions"]) == 2
    assert isinstance(second, problems.Problem)
    assert second.type is problems.WRONG_SHAPE
    assert {row.pk: row.units for row in Call.objects.all()} == {
        calls[0].id: 1,
        calls[1].id: 0,
        calls[2].id: 2,
    }


def test_neither_image_nor_key_is_in_the_database(call: Any, owner: Holder) -> None:
    assert call([[137.25] * PIXELS]).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT string_agg(t::text, ' ') FROM \"{table}\" AS t")
            text = cursor.fetchone()[0] or ""
            assert owner.key not in text
            assert "137.25" not in text


def test_ids_sort_by_time() -> None:
    ids = [uuid7.uuid7() for _ in range(3)]
    now = timezone.now()
    assert all(id.version == 7 and id.variant == uuid.RFC_4122 for id in ids)
    assert len(set(ids)) == 3
    assert abs(uuid7.made_at(ids[0]) - now) < timedelta(seconds=1)
    assert (
        uuid7.floor(now - timedelta(seconds=1)) < ids[0] < uuid7.floor(now + timedelta(seconds=1))
    )
