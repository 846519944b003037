import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.keys import Kind
from accounts.models import APIKey
from billing.models import Account, UsageHour
from billing.plans import SANDBOX
from mnistapi.problems import WRONG_SHAPE, Problem
from predictions.calls import Answer, OpenCall
from predictions.idempotency import LIFETIME, MAX_LENGTH
from predictions.models import Call, Idempotency
from predictions.settlement import settle
from tests.calls import opened
from tests.clock import Clock
from tests.conftest import DIGIT, Holder
from tests.faults import lost_at

THREE = json.loads(DIGIT.read_text())
BLANK = [0] * 784


@pytest.fixture
def retry(call: Any) -> Callable[..., Any]:
    """POST with an Idempotency-Key, which is "a" unless another is said."""

    def post(body: object, idempotency_key: str = "a", **extra: Any) -> Any:
        return call(body, headers={"Idempotency-Key": idempotency_key}, **extra)

    return post


def settled(call: OpenCall) -> Answer:
    (outcome,) = settle([call])
    assert isinstance(outcome, Answer), outcome
    return outcome


def code(call: OpenCall) -> str:
    (outcome,) = settle([call])
    assert isinstance(outcome, Problem), outcome
    return outcome.type.code


def is_replayed(answer: Answer) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


def test_a_retry_is_answered_byte_for_byte_and_free(retry: Any) -> None:
    first = retry(THREE)
    again = retry(THREE)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again["X-Request-Id"] == first["X-Request-Id"] == first.json()["id"]
    assert again["Content-Type"] == first["Content-Type"]
    assert "Idempotent-Replayed" not in first.headers
    assert again["Idempotent-Replayed"] == "true"
    assert Call.objects.count() == 1
    assert UsageHour.objects.values_list("calls", "units", "errors").get() == (1, 1, 0)
    assert Account.objects.get().test_units == 1


def test_a_retry_takes_from_the_rate(retry: Any, clock: Clock) -> None:
    left = [retry(THREE)["RateLimit"] for _ in range(3)]
    assert left == [f'"sandbox";r={SANDBOX.rate.burst - n};t=1' for n in (1, 2, 3)]


def test_without_the_header_the_same_body_is_another_call(call: Any) -> None:
    assert call(THREE).json()["id"] != call(THREE).json()["id"]
    assert Account.objects.get().test_units == 2
    assert not Idempotency.objects.exists()


def test_another_key_is_another_call(retry: Any) -> None:
    assert retry(THREE, "a").json()["id"] != retry(THREE, "A").json()["id"]
    assert Account.objects.get().test_units == 2


def test_another_body_with_the_same_key_is_refused_logged_and_free(retry: Any) -> None:
    first = retry(THREE)
    other = retry(BLANK)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert "RateLimit" in other.headers
    row = Call.objects.get(pk=other["X-Request-Id"])
    assert (row.status, row.problem, row.units) == (422, "idempotency_key_reused", 0)
    assert Account.objects.get().test_units == 1
    assert retry(THREE).content == first.content  # it has taken nobody's place


@pytest.mark.parametrize("body", ["nonsense", [1], [300] * 784])
def test_a_body_that_is_no_image_is_another_body_too(body: object, retry: Any) -> None:
    retry(THREE)
    assert retry(body).json()["code"] == "idempotency_key_reused"


def test_another_path_with_the_same_key_is_refused(retry: Any) -> None:
    retry(THREE)
    assert retry(THREE, path="/").json()["code"] == "idempotency_key_reused"


def test_another_content_type_with_the_same_key_is_refused(retry: Any) -> None:
    retry(THREE)
    raw = json.dumps(THREE)
    answer = retry(raw, content_type="application/x-npy")
    assert answer.json()["code"] == "idempotency_key_reused"


def test_parameters_of_the_content_type_make_no_other_request(retry: Any) -> None:
    first = retry(json.dumps(THREE))
    again = retry(json.dumps(THREE), content_type="Application/JSON; charset=utf-8")
    assert again.content == first.content


def test_the_answer_to_the_blog_s_call_is_stored_like_any(retry: Any) -> None:
    first, again = retry(THREE, path="/"), retry(THREE, path="/")
    assert first.content == again.content
    assert again["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("body", ["nonsense", [1], {"image": BLANK, "ink": "blue"}])
def test_a_refusal_is_not_stored(body: object, retry: Any) -> None:
    refused = retry(body)
    again = retry(body)
    assert refused.status_code == again.status_code
    assert refused["X-Request-Id"] != again["X-Request-Id"]
    assert Call.objects.count() == 2
    assert retry(THREE).status_code == 200  # the key is as new


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"test_units": SANDBOX.allowance}, 429),
        ({"test_tat": timezone.now() + timedelta(hours=1)}, 429),
        ({"status": Account.Status.SUSPENDED}, 403),
    ],
)
def test_a_refusal_for_a_limit_is_not_stored(
    fields: dict[str, Any], status: int, retry: Any, owner: Holder
) -> None:
    good = Account.objects.create(
        customer=owner.customer, period=timezone.now().date().replace(day=1)
    )
    Account.objects.update(**fields)
    assert retry(THREE).status_code == status
    good.save()
    answer = retry(THREE)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_a_fault_of_the_model_is_not_stored(retry: Any, monkeypatch: Any) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("model.serving.current", lambda: None)
        assert retry(THREE).status_code == 500
    assert retry(THREE).status_code == 200


def test_a_retry_is_answered_though_its_images_could_not_be_predicted_now(
    retry: Any, monkeypatch: Any
) -> None:
    first = retry(THREE)
    monkeypatch.setattr("model.serving.current", lambda: None)
    assert retry(THREE).content == first.content
    assert retry(THREE, "b").status_code == 500


def test_a_retry_is_answered_when_the_allowance_is_used_up(retry: Any) -> None:
    first = retry(THREE)
    Account.objects.update(test_units=SANDBOX.allowance)
    assert retry(THREE).content == first.content
    assert retry(THREE, "b").json()["code"] == "test_allowance_used_up"


def test_a_retry_over_the_rate_is_refused_and_logged(retry: Any, clock: Clock) -> None:
    retry(THREE)
    Account.objects.update(test_tat=clock.now + timedelta(hours=1))
    answer = retry(THREE)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert Call.objects.filter(pk=answer["X-Request-Id"], units=0, status=429).exists()


def test_a_suspended_account_is_answered_nothing(retry: Any) -> None:
    retry(THREE)
    Account.objects.update(status=Account.Status.SUSPENDED)
    assert retry(THREE).json()["code"] == "account_suspended"


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}])
def test_a_dead_key_is_never_answered_a_retry(
    change: dict[str, Any], owner: Holder, release: str
) -> None:
    """Neither one that was dead when it was looked up nor one that has died since."""
    settled(opened(owner, retry="a"))
    call = opened(owner, retry="a")
    APIKey.objects.update(**change)
    assert code(call) in ("revoked_key", "expired_key")
    assert Call.objects.count() == 1
    assert UsageHour.objects.get().calls == 1


def test_a_key_that_replaces_a_revoked_one_is_answered_its_retry(retry: Any, owner: Holder) -> None:
    first = retry(THREE)
    _, successor = owner.row.rotate(timedelta(0))
    assert retry(THREE).status_code == 401
    assert retry(THREE, key=successor).content == first.content


def test_customers_and_modes_have_their_own(
    retry: Any, owner: Holder, stranger: Holder, holder: Any
) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    answers = [retry(THREE, key=one.key) for one in (owner, stranger, live)]
    assert [answer.json()["usage"]["units"] for answer in answers] == [1, 1, 1]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert not any("Idempotent-Replayed" in answer.headers for answer in answers)
    again = [retry(THREE, key=one.key) for one in (owner, stranger, live)]
    assert [one.content for one in again] == [one.content for one in answers]


def test_an_answer_is_kept_for_24_hours_and_then_gives_way(
    owner: Holder, release: str, clock: Clock
) -> None:
    assert timedelta(hours=24) == LIFETIME
    began = clock.now
    first = settled(opened(owner, 1, "a"))
    clock.now = began + LIFETIME - timedelta(microseconds=1)
    assert settled(opened(owner, 1, "a")).body == first.body
    assert code(opened(owner, 2, "a")) == "idempotency_key_reused"
    clock.now = began + LIFETIME
    second = settled(opened(owner, 2, "a"))
    assert not is_replayed(second)
    assert second.body != first.body
    clock.now += LIFETIME - timedelta(microseconds=1)
    assert settled(opened(owner, 2, "a")).body == second.body
    assert Idempotency.objects.count() == 1
    assert Account.objects.get().test_units == 3


def test_a_replay_does_not_prolong_the_life_of_an_answer(
    owner: Holder, release: str, clock: Clock
) -> None:
    settled(opened(owner, 1, "a"))
    clock.now += timedelta(hours=23)
    assert is_replayed(settled(opened(owner, 1, "a")))
    clock.now += timedelta(hours=1)
    assert not is_replayed(settled(opened(owner, 1, "a")))


def test_two_in_one_batch_are_one_call(owner: Holder, stranger: Holder, release: str) -> None:
    calls = [opened(owner, 2, "a"), opened(stranger, 2, "a"), opened(owner, 2, "a")]
    first, other, again = settle([*calls])
    assert isinstance(first, Answer)
    assert isinstance(other, Answer)
    assert isinstance(again, Answer)
    assert (first.id, other.id, again.id) == (calls[0].id, calls[1].id, calls[0].id)
    assert again.body == first.body
    assert [is_replayed(answer) for answer in (first, other, again)] == [False, False, True]
    assert set(Call.objects.values_list("pk", flat=True)) == {calls[0].id, calls[1].id}
    assert Account.objects.get(customer=owner.customer).test_units == 2


def test_another_body_in_one_batch_is_refused(owner: Holder, release: str) -> None:
    first, other = settle([opened(owner, 1, "a"), opened(owner, 2, "a")])
    assert isinstance(first, Answer)
    assert isinstance(other, Problem)
    assert other.type.code == "idempotency_key_reused"
    assert Account.objects.get().test_units == 1


def test_a_refused_call_leaves_its_key_to_the_next_of_the_batch(
    owner: Holder, release: str
) -> None:
    refusal = Problem(WRONG_SHAPE, "no image")
    refused, answer = settle(
        [opened(owner, None, "a", refusal=refusal), opened(owner, 1, "a")],
    )
    assert isinstance(refused, Problem)
    assert isinstance(answer, Answer)
    assert not is_replayed(answer)


@pytest.mark.django_db(transaction=True)
def test_one_key_in_many_threads_is_one_row_and_one_charge(owner: Holder, release: str) -> None:
    def work(number: int) -> Answer:
        try:
            return settled(opened(owner, 3, "a"))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(work, range(40)))
    assert len({answer.body for answer in answers}) == 1
    assert len({answer.id for answer in answers}) == 1
    assert sum(not is_replayed(answer) for answer in answers) == 1
    assert Call.objects.values_list("pk", "units").get() == (answers[0].id, 3)
    assert Account.objects.get().test_units == 3
    assert UsageHour.objects.values_list("calls", "units").get() == (1, 3)


@pytest.mark.parametrize(
    "key", ["", "a" * (MAX_LENGTH + 1), "é", "a\tb", "\x7f", "\x00", "a\u00a0"], ids=ascii
)
@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
def test_a_key_that_is_none_is_refused_logged_and_free(key: str, path: str, retry: Any) -> None:
    answer = retry(THREE, key, path=path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")
    row = Call.objects.get(pk=answer["X-Request-Id"])
    assert (row.units, row.problem) == (0, "invalid_idempotency_key")
    assert not Idempotency.objects.exists()


@pytest.mark.parametrize("key", ["a" * MAX_LENGTH, "a b", "!~", "%s", "'; --", "{}"])
def test_a_key_may_have_255_printable_characters_of_any_kind(key: str, retry: Any) -> None:
    first, again = retry(THREE, key), retry(THREE, key)
    assert first.content == again.content
    assert Idempotency.objects.get().idempotency_key == key


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arrives", [True, False])
def test_a_retry_is_charged_once_through_a_commit_that_was_lost(arrives: bool, retry: Any) -> None:
    with lost_at("COMMIT", arrives):
        first = retry(THREE)
    again = retry(THREE)
    assert (first.status_code, again.status_code) == (200 if arrives else 503, 200)
    assert ("Idempotent-Replayed" in again.headers) == arrives
    if arrives:
        assert again.content == first.content
    assert Account.objects.get().test_units == 1
    assert Call.objects.values_list("status", "units").get() == (200, 1)


@pytest.mark.django_db(transaction=True)
def test_a_retry_finds_what_nobody_could_know(retry: Any, monkeypatch: Any) -> None:
    def gone(*args: object, **filters: object) -> None:
        raise OperationalError("still starting up")

    with monkeypatch.context() as down, lost_at("COMMIT", arrives=True):
        down.setattr(Call.objects, "filter", gone)
        first = retry(THREE)
    assert first.json()["code"] == "outcome_unknown"
    again = retry(THREE)
    assert again["Idempotent-Replayed"] == "true"
    assert again["X-Request-Id"] == first["X-Request-Id"]
    assert Account.objects.get().test_units == 1
