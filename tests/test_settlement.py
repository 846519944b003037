import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
from django.db import OperationalError, connection, transaction
from django.db.models import F, Sum

from accounts.keys import Kind
from accounts.models import APIKey
from billing import decision, ledger
from billing.models import Account, UsageHour
from billing.plans import SANDBOX
from mnistapi.problems import WRONG_SHAPE, Problem, internal_error
from model import serving
from predictions.answers import answer, blog_answer
from predictions.calls import Answer, OpenCall, Outcome
from predictions.models import Call
from predictions.predicting import predict
from predictions.settlement import settle
from tests.calls import opened
from tests.clock import Clock
from tests.conftest import DIGIT, Holder
from tests.faults import lose_connection, lost_at
from tests.releases import remove

IMAGE = (np.array(json.loads(DIGIT.read_text()), np.float32) / 255).reshape(1, 28, 28, 1)  # a 3


def codes(outcomes: list[Outcome]) -> list[str]:
    """Of each outcome: "" for an answer, the code of a problem."""
    return [one.type.code if isinstance(one, Problem) else "" for one in outcomes]


def books_agree_with(calls: list[OpenCall], outcomes: list[Outcome]) -> None:
    """What was answered, and nothing else, is paid for; what was refused is logged as that."""
    expected = {
        call.id: (0, one.type.code) if isinstance(one, Problem) else (units_of(one), "")
        for call, one in zip(calls, outcomes, strict=True)
    }
    rows = Call.objects.values_list("pk", "units", "problem")
    assert {pk: (units, problem) for pk, units, problem in rows} == expected
    units = sum(units for units, _ in expected.values())
    hours = UsageHour.objects.aggregate(Sum("calls"), Sum("units"), Sum("errors"))
    assert (hours["calls__sum"], hours["units__sum"]) == (len(calls), units)
    counted = Account.objects.aggregate(units=Sum(F("live_units") + F("test_units")))
    assert counted["units"] == units


def units_of(one: Answer) -> int:
    return int(json.loads(one.body)["usage"]["units"])


# Several at once


def test_each_call_of_a_batch_is_told_how_its_own_account_stands(
    owner: Holder, stranger: Holder, holder: Any, release: str
) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    calls = [opened(of, n) for of, n in [(owner, 1), (live, 2), (stranger, 3), (owner, 4)]]
    outcomes = settle(calls)
    usages = [json.loads(one.body)["usage"] for one in outcomes if isinstance(one, Answer)]
    assert [usage["period_units"] for usage in usages] == [1, 2, 3, 5]
    assert [usage["livemode"] for usage in usages] == [False, True, False, False]
    books_agree_with(calls, outcomes)


def test_each_call_of_a_batch_gets_the_predictions_of_its_own_images(
    owner: Holder, release: str
) -> None:
    images = np.random.default_rng(3).random((6, 28, 28, 1), np.float32)
    calls = [opened(owner, images[:1]), opened(owner, images[1:4]), opened(owner, images[4:])]
    expected = serving.current().predict(images)
    given = [
        prediction["probabilities"]
        for one in settle(calls)
        if isinstance(one, Answer)
        for prediction in json.loads(one.body)["predictions"]
    ]
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_an_account_that_runs_out_within_a_batch_is_refused_from_there(
    owner: Holder, stranger: Holder, holder: Any, release: str, clock: Clock
) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    month = clock.now.date().replace(day=1)
    Account.objects.create(customer=live.customer, period=month, live_units=990)
    calls = [opened(live, 6), opened(live, 6), opened(stranger, 6), opened(owner, 6)]
    calls += [opened(live, 4), opened(live, 1)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "payment_required", "", "", "", "payment_required"]


def test_a_key_that_died_since_it_was_looked_up_leaves_no_trace(
    owner: Holder, stranger: Holder, release: str
) -> None:
    calls = [opened(owner), opened(stranger)]
    owner.row.revoke()
    outcomes = settle(calls)
    assert codes(outcomes) == ["revoked_key", ""]
    books_agree_with(calls[1:], outcomes[1:])
    assert APIKey.objects.get(pk=owner.row.pk).last_used_at is None


def test_a_batch_of_dead_keys_only_leaves_nothing(owner: Holder, release: str) -> None:
    owner.row.revoke()
    assert codes(settle([opened(owner), opened(owner)])) == ["revoked_key"] * 2
    assert not Call.objects.exists()
    assert not UsageHour.objects.exists()


def test_every_outcome_of_the_books_says_how_the_rate_stands(
    owner: Holder, release: str, clock: Clock
) -> None:
    refusal = Problem(internal_error().type, "", {"X-Other": "kept"})
    first, second = settle([opened(owner), opened(owner, None, refusal=refusal)])
    assert first.headers["RateLimit"] == '"sandbox";r=399;t=1'
    assert second.headers["RateLimit"] == '"sandbox";r=398;t=1'
    assert second.headers["X-Other"] == "kept"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": Account.Status.SUSPENDED}, "account_suspended"),
        ({"test_tat": datetime(2026, 11, 23, 13, tzinfo=UTC)}, "rate_limited"),
        ({"test_units": SANDBOX.allowance}, "wrong_shape"),
    ],
)
def test_a_call_that_is_refused_already_is_refused_first_for_its_account_and_its_rate(
    fields: dict[str, Any], code: str, owner: Holder, release: str, clock: Clock
) -> None:
    Account.objects.create(customer=owner.customer, period=clock.now.date().replace(day=1))
    Account.objects.update(**fields)
    refusal = Problem(WRONG_SHAPE, "no image")
    assert codes(settle([opened(owner, None, refusal=refusal)])) == [code]
    assert Call.objects.get().problem == code


# A release that is asked for, and images that show no digit


def releases_of(outcomes: list[Outcome]) -> list[str]:
    """Of each answer, who made it."""
    return [json.loads(one.body)["release"] for one in outcomes if isinstance(one, Answer)]


def digits_of(outcome: Outcome) -> list[int | None]:
    assert isinstance(outcome, Answer)
    return [prediction["digit"] for prediction in json.loads(outcome.body)["predictions"]]


def test_each_call_of_a_batch_is_answered_by_the_release_that_it_asks_for(
    owner: Holder, stranger: Holder, releases: Path
) -> None:
    serving.load("a-1", "litert")
    asked = [None, "b-1", "a-1", "b-1", None]
    calls = [opened(of, IMAGE, release=of_name) for of_name in asked for of in (owner, stranger)]
    outcomes = settle(calls)
    makers = [name or "a-1" for name in asked for _ in range(2)]
    assert releases_of(outcomes) == makers
    assert [digits_of(one) for one in outcomes] == [[3 if by == "a-1" else 4] for by in makers]
    rows = dict(Call.objects.values_list("pk", "release"))
    assert [rows[call.id] for call in calls] == makers
    hours = UsageHour.objects.values_list("release").annotate(units=Sum("units"))
    assert dict(hours) == {"a-1": 6, "b-1": 4}


def test_a_release_is_asked_once_for_all_its_calls(
    owner: Holder, releases: Path, monkeypatch: Any
) -> None:
    serving.load("a-1", "litert")
    sizes = []
    for release in serving.loaded().by_name.values():
        predict = release.predict

        def counted(images: Any, predict: Any = predict) -> Any:
            sizes.append(len(images))
            return predict(images)

        monkeypatch.setattr(release, "predict", counted)
    asked = [None, "b-1", "a-1", "b-1", None]
    settle([opened(owner, 2, release=name) for name in asked])
    assert sizes == [6, 4]


def test_a_release_that_is_not_there_is_refused_logged_and_free(
    owner: Holder, releases: Path
) -> None:
    serving.load("a-1", "litert")
    calls = [opened(owner, 1), opened(owner, 2, release="../a-1"), opened(owner, 4)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "unknown_release", ""]
    assert isinstance(outcomes[1], Problem)
    assert "a-1, b-1" in outcomes[1].detail
    books_agree_with(calls, outcomes)
    assert Call.objects.get(pk=calls[1].id).release == ""


def test_a_call_that_is_sent_again_is_answered_though_its_release_is_gone(
    owner: Holder, releases: Path
) -> None:
    serving.load("a-1", "litert")
    (first,) = settle([opened(owner, IMAGE, "a", release="b-1")])
    remove(releases, "b-1")
    serving.load("a-1", "litert")
    again, new = settle([opened(owner, IMAGE, name, release="b-1") for name in ("a", "b")])
    assert isinstance(first, Answer)
    assert isinstance(again, Answer)
    assert again.body == first.body
    assert codes([new]) == ["unknown_release"]


def test_a_release_that_fails_hurts_only_who_asked_for_it(
    owner: Holder, releases: Path, monkeypatch: Any
) -> None:
    serving.load("a-1", "litert")
    monkeypatch.setattr(serving.named("b-1"), "predict", lambda images: 1 / 0)
    calls = [opened(owner, n, release=name) for n, name in ((1, "b-1"), (2, None), (4, "a-1"))]
    outcomes = settle(calls)
    assert codes(outcomes) == ["internal_error", "", ""]
    books_agree_with(calls, outcomes)


class Knows:
    """A network that knows a 3, and of everything else that it is no digit."""

    name = "knows"

    def predict(self, images: Any) -> Any:
        is_three = (images == IMAGE).all(axis=(1, 2, 3))
        return np.eye(10, dtype=np.float32)[[3] * len(images)] * np.where(is_three, 0.9, 0.3)[
            :, None
        ].astype(np.float32)


def test_an_image_that_shows_no_digit_is_answered_with_the_reason_and_charged(
    owner: Holder, release: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(serving, "current", Knows)
    images = np.concatenate([IMAGE, np.zeros_like(IMAGE), 1 - IMAGE])
    calls = [opened(owner, 1), opened(owner, images)]
    outcomes = settle(calls)
    assert [digits_of(one) for one in outcomes] == [[None], [3, None, None]]
    assert isinstance(outcomes[1], Answer)
    three, blank, other = json.loads(outcomes[1].body)["predictions"]
    assert "reason" not in three
    assert (blank["reason"], other["reason"]) == ("blank", "not_a_digit")
    assert [round(one["confidence"], 6) for one in (three, blank, other)] == [0.9, 0.3, 0.3]
    assert len(blank["probabilities"]) == 10
    assert [units_of(one) for one in outcomes if isinstance(one, Answer)] == [1, 3]
    books_agree_with(calls, outcomes)


def test_the_bare_answer_of_the_blog_is_ten_numbers_though_there_is_no_ink(
    owner: Holder, release: str
) -> None:
    (outcome,) = settle([opened(owner, 1, write=blog_answer)])
    assert isinstance(outcome, Answer)
    assert len(json.loads(outcome.body)) == 10


# What fails in one call


class Breaks:
    """A model that cannot predict for a batch with one image that is all ink."""

    def __init__(self, release: Any) -> None:
        self.name, self.release = release.name, release

    def predict(self, images: Any) -> Any:
        if images.min(axis=(1, 2, 3)).max() == 1:
            raise RuntimeError("all ink")
        return self.release.predict(images)


def test_images_that_break_the_model_hurt_only_their_call(
    owner: Holder, stranger: Holder, release: str, monkeypatch: Any
) -> None:
    broken = Breaks(serving.current())
    monkeypatch.setattr(serving, "current", lambda: broken)
    calls = [
        opened(owner, 2),
        opened(stranger, np.ones((1, 28, 28, 1), np.float32)),
        opened(stranger, 3),
    ]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "internal_error", ""]
    books_agree_with(calls, outcomes)


def test_a_decision_that_fails_hurts_only_its_call(
    owner: Holder, stranger: Holder, release: str, monkeypatch: Any
) -> None:
    decide = decision.decide

    def breaks(account: Any, key: Any, charge: Any, now: Any) -> Any:
        if charge.units == 7:
            raise RuntimeError("a fault in decide")
        return decide(account, key, charge, now)

    monkeypatch.setattr("billing.ledger.decide", breaks)
    calls = [opened(owner, 2), opened(owner, 7), opened(stranger, 3)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "internal_error", ""]
    books_agree_with([calls[0], calls[2]], [outcomes[0], outcomes[2]])


def test_an_answer_that_cannot_be_written_hurts_only_its_call(
    owner: Holder, stranger: Holder, release: str
) -> None:
    def breaks(receipt: Any) -> bytes:
        raise ValueError("a fault in write")

    calls = [opened(owner, 2), opened(owner, 7, write=breaks), opened(stranger, 3)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "internal_error", ""]
    books_agree_with([calls[0], calls[2]], [outcomes[0], outcomes[2]])


def test_a_row_that_the_database_refuses_hurts_only_its_call(
    owner: Holder, stranger: Holder, release: str
) -> None:
    first = opened(owner, 2)
    settle([first])
    calls = [opened(owner, 3), opened(owner, 4, id=first.id), opened(stranger, 5)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", "internal_error", ""]
    assert set(Call.objects.values_list("units", flat=True)) == {2, 3, 5}
    assert Account.objects.get(customer=owner.customer).test_units == 5


def test_what_a_call_that_failed_would_have_stored_is_not_stored(
    owner: Holder, release: str
) -> None:
    def breaks(receipt: Any) -> bytes:
        raise ValueError("a fault in write")

    good = opened(owner, 1, "a")
    assert codes(settle([good, opened(owner, 2, "b", write=breaks)])) == ["", "internal_error"]
    again, other = settle([opened(owner, 1, "a"), opened(owner, 2, "b")])
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert "Idempotent-Replayed" not in other.headers
    assert isinstance(again, Answer)
    assert again.id == good.id


def test_images_that_broke_the_model_are_not_tried_again(
    owner: Holder, release: str, monkeypatch: Any
) -> None:
    tried = []

    class Broken:
        name = "broken"

        def predict(self, images: Any) -> None:
            tried.append(len(images))
            raise RuntimeError("no")

    monkeypatch.setattr(serving, "current", Broken)
    call = opened(owner, 2)
    predict([call])
    assert codes(settle([call])) == ["internal_error"]
    assert tried == [2]


def test_a_large_call_that_was_predicted_before_is_not_predicted_again(
    owner: Holder, release: str, monkeypatch: Any
) -> None:
    call = opened(owner, 2)
    predict([call])
    monkeypatch.setattr(serving, "current", lambda: None)
    (outcome,) = settle([call])
    assert codes([outcome]) == [""]


# A database that is lost


@pytest.mark.django_db(transaction=True)
def test_a_connection_lost_since_the_last_call_costs_nobody_anything(
    owner: Holder, stranger: Holder, release: str
) -> None:
    before = opened(owner, 1)
    assert codes(settle([before])) == [""]
    lose_connection()
    calls = [opened(owner, 2), opened(stranger, 3)]
    outcomes = settle(calls)
    assert codes(outcomes) == ["", ""]
    assert Account.objects.get(customer=owner.customer).test_units == 3
    assert Call.objects.count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("part", ["billing_open", "predictions_idempotency"])
def test_a_connection_lost_before_the_commit_is_opened_once_more(
    part: str, arrives: bool, owner: Holder, stranger: Holder, release: str
) -> None:
    Account.objects.open([owner.customer.pk, stranger.customer.pk])
    calls = [opened(owner, 2, "a"), opened(stranger, 3)]
    with lost_at(part, arrives) as sent:
        outcomes = settle(calls)
    assert sum("BEGIN" in sql for sql in sent) == 2
    assert codes(outcomes) == ["", ""]
    books_agree_with(calls, outcomes)


@pytest.mark.django_db(transaction=True)
def test_a_database_that_stays_lost_is_told_to_each_and_costs_nobody_anything(
    owner: Holder, stranger: Holder, release: str, monkeypatch: Any
) -> None:
    begun = []

    def gone(*args: object) -> None:
        begun.append(args)
        connection.close()
        raise OperationalError("the database system is starting up")

    with monkeypatch.context() as down:
        down.setattr("billing.ledger.opened", gone)
        outcomes = settle([opened(owner, 2), opened(stranger, 3)])
    assert codes(outcomes) == ["unavailable"] * 2
    assert len(begun) == 2
    assert not Call.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("arrives", [False, True])
def test_a_batch_whose_commit_is_lost_is_asked_about(
    arrives: bool, owner: Holder, stranger: Holder, release: str
) -> None:
    calls = [opened(owner, 2, "a"), opened(stranger, 3)]
    with lost_at("COMMIT", arrives):
        outcomes = settle(calls)
    if arrives:
        assert codes(outcomes) == ["", ""]
        books_agree_with(calls, outcomes)
    else:
        assert codes(outcomes) == ["unavailable"] * 2
        assert not Call.objects.exists()
        assert not UsageHour.objects.exists()
        assert not Account.objects.filter(test_units__gt=0).exists()


SLOW_COMMIT = """
CREATE FUNCTION wait_at_the_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON billing_usagehour
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_the_commit();
"""
QUICK_COMMIT = "DROP FUNCTION wait_at_the_commit CASCADE"


def cut_the_line_in(seconds: float) -> threading.Timer:
    """The network is gone, after some time, for this thread's connection; the server goes on."""
    line = socket.socket(fileno=socket.dup(connection.connection.fileno()))

    def cut() -> None:
        line.shutdown(socket.SHUT_RDWR)
        line.close()

    timer = threading.Timer(seconds, cut)
    timer.start()
    return timer


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_is_still_under_way_when_its_line_breaks_is_waited_for(
    owner: Holder, release: str
) -> None:
    timers = []

    def write(receipt: Any) -> bytes:
        timers.append(cut_the_line_in(0.5))  # the commit comes next, and takes three times as long
        return answer(receipt)

    with connection.cursor() as cursor:
        cursor.execute(SLOW_COMMIT)
    try:
        call = opened(owner, 2, write=write)
        outcomes = settle([call])
        timers[0].join()
        with transaction.atomic():
            Account.objects.select_for_update().get()  # the server has made up its mind
        assert codes(outcomes) == [""]
        books_agree_with([call], outcomes)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(QUICK_COMMIT)


@pytest.mark.django_db(transaction=True)
def test_a_commit_that_cannot_be_waited_for_any_longer_is_not_called_free(
    owner: Holder, release: str, monkeypatch: Any
) -> None:
    begun, over = threading.Event(), threading.Event()

    def hold_the_account() -> None:
        with transaction.atomic():
            begun.set()
            Account.objects.select_for_update().get()
            over.wait(10)
        connection.close()

    def write(receipt: Any) -> bytes:
        holding.start()
        begun.wait(10)
        time.sleep(0.2)  # it waits for the lock, and is the next to get it
        monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=200ms")
        return answer(receipt)

    Account.objects.of(owner.customer)
    holding = threading.Thread(target=hold_the_account)
    call = opened(owner, 2, write=write)
    with lost_at("COMMIT", arrives=True):
        outcomes = settle([call])
    over.set()
    holding.join()
    assert codes(outcomes) == ["outcome_unknown"]
    assert isinstance(outcomes[0], Problem)
    assert outcomes[0].billed is None


# An account that is held, a key that is gone


@contextmanager
def held(holder: Holder) -> Iterator[None]:
    """Another connection has locked the holder's account."""
    here = connection.get_connection_params()
    line = psycopg2.connect(**{name: here[name] for name in ("dbname", "user", "host")})
    try:
        with line.cursor() as cursor:
            cursor.execute(
                "SELECT FROM billing_account WHERE customer_id = %s FOR UPDATE",
                [holder.customer.pk],
            )
        yield
    finally:
        line.close()


@pytest.fixture
def impatient(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
        yield
        cursor.execute("RESET lock_timeout")


def test_an_account_that_is_held_fails_the_calls_of_its_own_customer_alone(
    impatient: None, owner: Holder, stranger: Holder, holder: Any, release: str, monkeypatch: Any
) -> None:
    third = holder("third@example.com")
    Account.objects.open([one.customer.pk for one in (owner, stranger, third)])
    tried: list[list[int]] = []

    def watched(pairs: Any, whoever_is_there: bool) -> Any:
        tried.append([customer for customer, _ in pairs])
        return read(pairs, whoever_is_there)

    read = ledger.opened
    monkeypatch.setattr(ledger, "opened", watched)
    calls = [opened(of, retry=f"retry-{n}") for n, of in enumerate([owner, stranger, owner, third])]
    with held(owner):
        outcomes = settle(calls)
    assert codes(outcomes) == ["unavailable", "", "unavailable", ""]
    assert tried[-1] == [owner.customer.pk] * 2  # who is held keeps nobody waiting a second time
    assert sorted(map(len, tried)) == [1, 1, 2, 4]
    books_agree_with([calls[1], calls[3]], [outcomes[1], outcomes[3]])
    assert codes(settle([calls[0], calls[2]])) == ["", ""]


def test_where_nobody_can_say_which_account_is_held_all_are_told_to_come_again(
    impatient: None, owner: Holder, stranger: Holder, release: str, monkeypatch: Any
) -> None:
    def away(ids: Any) -> set[int]:
        raise OperationalError("the database is away")

    Account.objects.open([owner.customer.pk, stranger.customer.pk])
    monkeypatch.setattr(ledger, "free_accounts", away)
    with held(owner):
        outcomes = settle([opened(owner), opened(stranger)])
    assert codes(outcomes) == ["unavailable"] * 2


def test_a_key_that_is_deleted_under_its_call_is_unknown_and_hurts_no_other(
    owner: Holder, stranger: Holder, release: str
) -> None:
    APIKey.objects.filter(pk=owner.row.pk).delete()
    calls = [opened(owner), opened(stranger), opened(owner, retry="again")]
    outcomes = settle(calls)
    assert codes(outcomes) == ["invalid_key", "", "invalid_key"]
    books_agree_with(calls[1:2], outcomes[1:2])


def test_a_customer_who_is_deleted_under_his_call_is_unknown(
    owner: Holder, stranger: Holder, release: str
) -> None:
    APIKey.objects.filter(pk=owner.row.pk).delete()
    owner.customer.delete()
    (alone,) = codes(settle([opened(owner)]))
    assert alone == "invalid_key"
    assert codes(settle([opened(owner), opened(stranger)])) == ["invalid_key", ""]


# Many at once


@pytest.mark.django_db(transaction=True)
def test_many_threads_open_accounts_settle_batches_and_revoke_without_a_deadlock(
    holder: Any, release: str
) -> None:
    holders = [holder(f"{name}@example.com") for name in "abcdefgh"]
    leaked = [holder(f"{name}@example.com") for name in "abcd"]

    def work(number: int) -> list[str]:
        some = random.Random(number).sample(holders + leaked, 6)
        try:
            if number % 10 == 9:
                APIKey.objects.filter(pk__in=[of.row.pk for of in leaked[: number // 10]]).revoke()
            return codes(settle([opened(of, 1) for of in some]))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        outcomes = [code for one in threads.map(work, range(48)) for code in one]
    assert len(outcomes) == 48 * 6
    assert set(outcomes) == {"", "revoked_key"}
    answered = outcomes.count("")
    assert Call.objects.count() == answered
    assert Account.objects.aggregate(Sum("test_units"))["test_units__sum"] == answered
    assert UsageHour.objects.aggregate(Sum("units"))["units__sum"] == answered
