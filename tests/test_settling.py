"""Settling on an event loop: what `test_settlement` says of one batch holds there as well."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
import uvloop
from django.db import OperationalError, connection
from structlog.testing import capture_logs

from accounts.models import APIKey
from billing import ledger
from billing.models import Account, UsageHour
from mnistapi import loop_connection
from mnistapi.loop_connection import SENT_WHOLE, LoopConnection
from predictions import idempotency
from predictions.calls import Answer, OpenCall, Outcome
from predictions.models import Call
from predictions.settlement import Latecomers, nobody
from predictions.settling import Settling
from tests.calls import opened
from tests.conftest import Holder
from tests.faults import end_server_process
from tests.test_settlement import books_agree_with, codes, held

PATIENCE_SECONDS = 20

pytestmark = pytest.mark.django_db(transaction=True)


def settled(*batches: list[OpenCall], latecomers: Latecomers = nobody) -> list[list[Outcome]]:
    """What comes of batches that are settled one after the other."""

    async def settle() -> list[list[Outcome]]:
        own = Settling()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return [await own.settle(calls, latecomers) for calls in batches]
        finally:
            own.close()

    return asyncio.run(settle())


def settled_together(calls: list[OpenCall], latecomers: Latecomers = nobody) -> list[Outcome]:
    return settled(calls, latecomers=latecomers)[0]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that were sent."""
    queries: list[str] = []
    send = LoopConnection.send

    def noted(line: LoopConnection, statement: Any) -> None:
        queries.append(statement[0])
        send(line, statement)

    monkeypatch.setattr(LoopConnection, "send", noted)
    return queries


@pytest.fixture
def open_accounts(owner: Holder, stranger: Holder) -> None:
    Account.objects.open([owner.customer.pk, stranger.customer.pk])


def test_a_batch_takes_two_round_trips(
    owner: Holder, stranger: Holder, open_accounts: None, release: str, sent: list[str]
) -> None:
    calls = [opened(owner, 2), opened(stranger, 3)]
    outcomes = settled_together(calls)
    assert [one.id for one in outcomes if isinstance(one, Answer)] == [call.id for call in calls]
    assert ["BEGIN" in sql for sql in sent] == [True, False]
    assert ["COMMIT" in sql for sql in sent] == [False, True]
    books_agree_with(calls, outcomes)


def test_the_first_call_opens_the_account(owner: Holder, stranger: Holder, release: str) -> None:
    Account.objects.open([owner.customer.pk])
    first, second = [opened(owner), opened(stranger)], [opened(stranger, 2)]
    with capture_logs() as lines:
        outcomes = settled(first, second)
    assert lines == []  # it is no fault
    assert codes([*outcomes[0], *outcomes[1]]) == ["", "", ""]
    books_agree_with([*first, *second], [*outcomes[0], *outcomes[1]])


def test_a_retry_is_answered_from_the_store(
    owner: Holder, open_accounts: None, release: str, sent: list[str]
) -> None:
    (first,), (second,) = settled([opened(owner, 2, "a")], [opened(owner, 2, "a")])
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert first.body == second.body
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(sent) == 6


def test_what_is_too_long_to_be_sent_at_once_is_sent_in_parts(
    owner: Holder, open_accounts: None, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_connection, "LOOK_SECONDS", 2 * PATIENCE_SECONDS)
    calls = [opened(owner, 100, f"retry-{n}") for n in range(128)]
    outcomes = settled_together(calls)
    assert codes(outcomes) == [""] * 128
    stored = sum(len(one.body) for one in outcomes if isinstance(one, Answer))
    assert stored > 100 * SENT_WHOLE
    books_agree_with(calls, outcomes)


# Calls that come while the accounts are waited for


class Late:
    """Further calls, given to the first who asks; notes for which keys they were asked."""

    def __init__(self, calls: list[OpenCall]) -> None:
        self.calls, self.asked_for = calls, list[set[int]]()

    def __call__(self, key_ids: Any) -> list[OpenCall]:
        self.asked_for.append(set(key_ids))
        calls, self.calls = self.calls, []
        return calls


def test_latecomers_are_settled_behind_the_others_in_the_same_transaction(
    owner: Holder, stranger: Holder, open_accounts: None, release: str, sent: list[str]
) -> None:
    late = Late([opened(owner, 3), opened(stranger, 4)])
    calls = [opened(owner, 1), opened(stranger, 2)]
    expected = [*calls, *late.calls]
    outcomes = settled_together(calls, late)
    assert len(sent) == 2
    assert calls == expected
    assert late.asked_for == [{owner.row.pk, stranger.row.pk}]
    assert [one.id for one in outcomes if isinstance(one, Answer)] == [call.id for call in expected]
    assert Account.objects.get(customer=owner.customer).test_units == 1 + 3


def test_a_latecomer_who_fails_hurts_only_himself(
    owner: Holder, stranger: Holder, open_accounts: None, release: str
) -> None:
    def breaks(receipt: Any) -> bytes:
        raise ValueError("a fault in write")

    late = Late([opened(stranger, 5, write=breaks), opened(owner, 3)])
    calls = [opened(owner, 1), opened(stranger, 2)]
    outcomes = settled_together(calls, late)
    assert codes(outcomes) == ["", "", "internal_error", ""]
    del calls[2], outcomes[2]
    books_agree_with(calls, outcomes)


# A database that is lost


def terminate(line: LoopConnection) -> None:
    end_server_process(line.raw.info.backend_pid)


@contextmanager
def lost_at(part: str, arrives: bool) -> Iterator[None]:
    """The connection is lost at the first query that holds `part`: behind it if it `arrives`."""
    send, rows = LoopConnection.send, LoopConnection.rows
    points: list[str] = []

    def lost_before(line: LoopConnection, statement: Any) -> None:
        is_here = part in statement[0] and not points
        if is_here:
            points.append(part)
            if not arrives:
                terminate(line)
        send(line, statement)

    def lost_behind(line: LoopConnection) -> Any:
        if arrives and points == [part]:
            points.append("lost")
            line.raw.close()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return rows(line)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopConnection, "send", lost_before)
        patch.setattr(LoopConnection, "rows", lost_behind)
        yield
    assert points


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("part", ["billing_open", "predictions_idempotency"])
def test_a_connection_lost_before_the_commit_costs_nobody_anything(
    part: str,
    arrives: bool,
    owner: Holder,
    stranger: Holder,
    open_accounts: None,
    release: str,
) -> None:
    late = Late([opened(owner, 4, "b")])
    first, second = [opened(owner, 2, "a"), opened(stranger, 3)], [opened(owner, 1)]
    with lost_at(part, arrives):
        outcomes = settled(first, second, latecomers=late)
    calls, together = [*first, *second], [*outcomes[0], *outcomes[1]]
    assert codes(together) == [""] * len(calls)
    books_agree_with(calls, together)


@pytest.mark.parametrize("arrives", [False, True])
def test_a_batch_whose_commit_is_lost_is_asked_about(
    arrives: bool, owner: Holder, stranger: Holder, open_accounts: None, release: str
) -> None:
    calls = [opened(owner, 2, "a"), opened(stranger, 3)]
    with lost_at("COMMIT", arrives):
        outcomes = settled_together(calls)
    if arrives:
        assert codes(outcomes) == ["", ""]
        books_agree_with(calls, outcomes)
    else:
        assert codes(outcomes) == ["unavailable"] * 2
        assert not Call.objects.exists()
        assert not UsageHour.objects.exists()


def test_a_connection_that_is_lost_while_nobody_asks_is_opened_again(
    owner: Holder, open_accounts: None, release: str
) -> None:
    async def run() -> list[Outcome]:
        own = Settling()
        first = await own.settle([opened(owner, 1)], nobody)
        assert own.books
        terminate(own.books)
        began, used = time.monotonic(), time.process_time()
        await asyncio.sleep(0.5)
        assert own.books.is_lost
        assert own.books.is_closed  # before another has its file
        assert time.process_time() - used < (time.monotonic() - began) / 2  # nothing turns idly
        second = await own.settle([opened(owner, 2)], nobody)
        assert own.books
        assert not own.books.is_lost
        own.close()
        return [*first, *second]

    assert codes(asyncio.run(run())) == ["", ""]


def test_a_connection_that_is_reset_behind_an_answer_keeps_nobody_waiting(
    owner: Holder, open_accounts: None, release: str
) -> None:
    """uvloop tells of it once, with the answer: what is sent then is never answered."""
    calls = [opened(owner, 2), opened(owner, 3)]

    async def run() -> list[Outcome]:
        own = Settling()
        first = await own.settle(calls[:1], nobody)
        assert own.books
        own.books.loop.remove_reader(own.books.file)  # as if it had been told of an error
        terminate(own.books)
        second = await own.settle(calls[1:], nobody)
        own.close()
        return [*first, *second]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        outcomes = runner.run(asyncio.wait_for(run(), PATIENCE_SECONDS))
    assert codes(outcomes) == ["", ""]
    books_agree_with(calls, outcomes)


def test_a_query_that_leaves_in_parts_turns_no_loop_idly(
    open_accounts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    go_on = LoopConnection.go_on

    def counted(line: LoopConnection) -> None:
        turns.append(1)
        go_on(line)

    monkeypatch.setattr(LoopConnection, "go_on", counted)

    def reading() -> Any:
        yield "SELECT length(%s), pg_sleep(0.3)", ["a" * 2**22]
        return [("SELECT 1", [])]

    async def run() -> None:
        line = LoopConnection(loop_connection.connected())
        await line.transact(reading())
        line.close()

    asyncio.run(run())
    assert 3 < len(turns) < 1_000


def test_what_comes_behind_a_failure_does_not_go_on_with_the_transaction(
    owner: Holder, open_accounts: None, release: str, sent: list[str], monkeypatch: Any
) -> None:
    monkeypatch.setattr(idempotency, "STORED", "SELECT %s, %s, %s, %s, 1 / 0")
    fail = LoopConnection.fail

    def fail_and_look(line: LoopConnection, error: Exception) -> None:
        fail(line, error)
        line.go_on()

    monkeypatch.setattr(LoopConnection, "fail", fail_and_look)
    assert codes(settled_together([opened(owner, retry="a")])) == ["internal_error"]
    assert ["COMMIT" in sql for sql in sent] == [False, False, False]


def test_a_database_that_stays_away_is_told_to_each(
    owner: Holder, stranger: Holder, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError("the database system is starting up")

    monkeypatch.setattr(loop_connection, "connected", away)
    assert codes(settled_together([opened(owner, 2), opened(stranger, 3)])) == ["unavailable"] * 2


def test_a_database_that_does_not_answer_is_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = {"host": "127.0.0.1", "port": silent.getsockname()[1], "dbname": "a", "user": "b"}
        monkeypatch.setattr(connection, "get_connection_params", lambda: there)
        monkeypatch.setattr(loop_connection, "CONNECT_SECONDS", 1)
        with pytest.raises(OperationalError, match="in time"):
            loop_connection.connected()


# What fails in one call, an account that is held, a key that is gone


@pytest.mark.parametrize("fault", ["decide", "write", "row"])
def test_what_fails_in_one_call_fails_for_that_one_alone(
    fault: str,
    owner: Holder,
    stranger: Holder,
    open_accounts: None,
    release: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def breaks(receipt: Any) -> bytes:
        raise ValueError("a fault in write")

    more: dict[str, Callable[[], dict[str, Any]]] = {
        "decide": dict,
        "write": lambda: {"write": breaks},
        "row": lambda: {"id": first.id},
    }
    first = opened(owner, 1)
    calls = [opened(owner, 2), opened(owner, 7, **more[fault]()), opened(stranger, 3)]
    if fault == "decide":
        decide = ledger.decide

        def decided(account: Any, key: Any, charge: Any, now: Any) -> Any:
            return 1 / 0 if charge.units == 7 else decide(account, key, charge, now)

        monkeypatch.setattr(ledger, "decide", decided)
    outcomes = settled([first], calls)
    assert codes(outcomes[1]) == ["", "internal_error", ""]
    books_agree_with([first, calls[0], calls[2]], [*outcomes[0], outcomes[1][0], outcomes[1][2]])


def test_an_account_that_is_held_fails_the_calls_of_its_own_customer_alone(
    owner: Holder,
    stranger: Holder,
    open_accounts: None,
    release: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=200ms")
    calls = [opened(owner, 2, "a"), opened(stranger, 3), opened(owner, 4)]
    with held(owner):
        outcomes = settled_together(calls)
    assert codes(outcomes) == ["unavailable", "", "unavailable"]
    books_agree_with(calls[1:2], outcomes[1:2])
    assert codes(settled_together([calls[0]])) == [""]


def test_a_key_that_is_deleted_under_its_call_is_unknown_and_hurts_no_other(
    owner: Holder, stranger: Holder, open_accounts: None, release: str
) -> None:
    APIKey.objects.filter(pk=owner.row.pk).delete()
    calls = [opened(owner), opened(stranger), opened(owner, retry="again")]
    outcomes = settled_together(calls)
    assert codes(outcomes) == ["invalid_key", "", "invalid_key"]
    books_agree_with(calls[1:2], outcomes[1:2])
