"""The books and a copy of them on paper are kept side by side, whatever happens to either."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run

from accounts.keys import Kind
from accounts.models import APIKey, Customer
from billing.models import Account, Notice, UsageHour
from billing.plans import PLANS
from mnistapi.problems import WRONG_SHAPE, Problem
from mnistapi.uuid7 import uuid7
from model import serving
from predictions import answers, idempotency
from predictions.calls import Answer, OpenCall, Receipt
from predictions.models import Call, Idempotency
from predictions.settlement import settle
from tests.clock import Clock
from tests.paper_books import (
    Debt,
    Outcome,
    PaperAccount,
    PaperBooks,
    PaperCall,
    PaperKey,
    beginning,
    micros,
    moment,
    month_of,
)

LATE_IN_NOVEMBER = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
SECOND = 10**6

numbers = st.integers(0, 10**6)
sizes = st.sampled_from([0, 1, 2, 10, 50, 99, 100, 100, 101, 990, 1_000, 1_001])
retries = st.sampled_from([None, None, "a", "b"])
batches = st.lists(st.tuples(numbers, sizes, retries), min_size=1, max_size=6)
steps = st.sampled_from(
    [1, 50_000, 200_000, SECOND, 10 * SECOND, 3600 * SECOND, 86_400 * SECOND - 1, 86_400 * SECOND]
)
serial = count(1)

# By the status of an account, the code of the problem with all its calls.
STANDINGS = {"suspended": "account_suspended", "payment_failed": "payment_failed"}

Batch = list[tuple[int, int, str | None]]


class Fake:
    """Predicts at once, whatever the images."""

    name = "fake-1"

    def predict(self, images: Any) -> Any:
        return np.zeros((len(images), 10), np.float32)


def written(receipt: Receipt) -> bytes:
    """An answer without its predictions, which are not what this is about."""
    return json.dumps(answers.usage(receipt)).encode()


def money(text: str) -> int:
    """Micros of a text in dollars."""
    dollars, _, fraction = text.partition(".")
    return int(dollars) * SECOND + int(f"{fraction:0<6}")


class BooksAndPaper(RuleBasedStateMachine):
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.undone = transaction.atomic()
        self.undone.__enter__()
        self.paper = PaperBooks(micros(LATE_IN_NOVEMBER))
        self.rows: dict[int, APIKey] = {}
        self.bodies: dict[UUID, bytes] = {}
        self.repeatable: list[PaperCall] = []

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.undone.__exit__(None, None, None)

    # What happens

    @initialize(
        live=st.sampled_from([0, 950, 1_000, 99_990, 999_950]),
        test=st.sampled_from([0, 19_950]),
        tired=st.sampled_from([0, 9 * SECOND, 9_900_000, 19_900_000]),
        plan=st.sampled_from(list(PLANS)),
        limit=st.sampled_from([0, 1, 50_00, 500_00]),
    )
    def open(self, live: int, test: int, tired: int, plan: str, limit: int) -> None:
        """Two customers: one in the middle of things, one who never called."""
        paper = PaperAccount(
            plan,
            month_of(self.paper.now),
            {True: live, False: test},
            {mode: Debt(tired, self.paper.now) for mode in (True, False)},
            limit,
        )
        tat = moment(self.paper.now + tired)
        used = Account(
            customer=self.customer(paper),
            plan=plan,
            spend_limit_cents=limit,
            period=date(*paper.month, 1),
            live_units=live,
            test_units=test,
            live_tat=tat,
            test_tat=tat,
        )
        used.save()
        at_rest = {mode: Debt(0, 0) for mode in (True, False)}
        new = PaperAccount("free", (1, 1), {True: 0, False: 0}, at_rest, 50_00)
        Account.objects.of(self.customer(new))

    def customer(self, paper: PaperAccount) -> Customer:
        customer = Customer.objects.with_email(f"{next(serial)}@example.com")
        self.paper.accounts[customer.pk] = paper
        for kind in Kind:
            self.issue(customer, kind)
        return customer

    def issue(self, customer: Customer, kind: Kind) -> None:
        row, _ = APIKey.objects.issue(customer, kind, "a key")
        self.rows[row.pk] = row
        self.paper.keys[row.pk] = PaperKey(customer.pk, kind == Kind.LIVE)

    def one_of(self, some: Any, number: int) -> Any:
        return list(some)[number % len(some)]

    @rule(batch=batches)
    def calls(self, batch: Batch) -> None:
        """Calls with different keys and sizes at once."""
        self.settle([self.paper_call(*one) for one in batch])

    @rule(key=numbers, size=st.sampled_from([1, 10, 50, 100]), times=st.integers(2, 60))
    def crowd(self, key: int, size: int, times: int) -> None:
        """Many calls with one key at once."""
        self.settle([self.paper_call(key, size, None) for _ in range(times)])

    @rule(number=numbers, over=st.integers(0, 1))
    def to_the_brim(self, number: int, over: int) -> None:
        """All that is left, and then, or with it, a unit that is not."""
        key = self.paper.keys[self.key(number)]
        account = self.paper.accounts[key.customer]
        account.turn_to(month_of(self.paper.now))
        most = account.most(key.livemode)
        for size in (most + over, 1):
            self.settle([self.paper_call(number, size, None)])

    @precondition(lambda self: self.repeatable)
    @rule(some=st.lists(numbers, min_size=1, max_size=3))
    def retry(self, some: list[int]) -> None:
        """What was sent before is sent again, one of it maybe twice."""
        again = [self.one_of(self.repeatable, number) for number in some]
        self.settle([replace(call, id=uuid7()) for call in again])

    @precondition(lambda self: self.repeatable)
    @rule(number=numbers, size=sizes)
    def reuse(self, number: int, size: int) -> None:
        """An idempotency key is sent again with another body."""
        call = self.one_of(self.repeatable, number)
        self.settle([replace(call, id=uuid7(), units=size, body=f"{size} images")])

    @rule(key=numbers)
    def revoke(self, key: int) -> None:
        """A key is revoked, and another takes its place."""
        row = self.rows[self.key(key)]
        row.revoke()
        self.paper.keys[row.pk].is_revoked = True
        self.issue(row.customer, Kind(row.kind))

    @rule(key=numbers, later=steps)
    def let_expire(self, key: int, later: int) -> None:
        row = self.rows[self.key(key)]
        APIKey.objects.filter(pk=row.pk).update(expires_at=moment(self.paper.now + later))
        self.paper.keys[row.pk].expires = self.paper.now + later
        self.issue(row.customer, Kind(row.kind))

    @rule(customer=numbers, plan=st.sampled_from(list(PLANS)))
    def change_plan(self, customer: int, plan: str) -> None:
        id = self.one_of(self.paper.accounts, customer)
        Account.objects.get(pk=id).change(plan=plan)
        self.paper.change(id, plan=plan)

    @rule(customer=numbers, cents=st.sampled_from([0, 1, 5, 10, 50, 50_00, 500_00]))
    def change_spend_limit(self, customer: int, cents: int) -> None:
        id = self.one_of(self.paper.accounts, customer)
        Account.objects.get(pk=id).change(spend_limit_cents=cents)
        self.paper.change(id, limit=cents)

    @rule(customer=numbers, status=st.sampled_from(list(STANDINGS)), meanwhile=batches)
    def refuse_for_a_while(self, customer: int, status: str, meanwhile: Batch) -> None:
        id = self.one_of(self.paper.accounts, customer)
        Account.objects.get(pk=id).change(status=status)
        self.paper.change(id, standing=STANDINGS[status])
        self.calls(meanwhile)
        Account.objects.get(pk=id).change(status="active")
        self.paper.change(id, standing="")

    @rule(step=steps)
    def time_passes(self, step: int) -> None:
        self.paper.now += step

    @rule(step=st.sampled_from([1, 50_000, SECOND, 10 * SECOND]))
    def clock_is_set_back(self, step: int) -> None:
        self.paper.now -= step

    @precondition(lambda self: self.coming())
    @rule(number=numbers, before=st.integers(0, 1))
    def something_ends(self, number: int, before: int) -> None:
        """To the instant at which a key or an answer ends, or to the last one before it."""
        self.paper.now = self.one_of(self.coming(), number) - before
        again = [replace(call, id=uuid7()) for call in self.repeatable[-20:]]
        self.settle(again + [PaperCall(uuid7(), pk, 1, "1 images", None) for pk in self.rows])

    def coming(self) -> list[int]:
        return [instant for instant in self.paper.instants() if instant > self.paper.now]

    @rule(before=st.integers(0, 1), months=st.integers(1, 2))
    def month_ends(self, before: int, months: int) -> None:
        """To the first instant of a coming month, or to the last one before it."""
        year, month = month_of(self.paper.now)
        years, index = divmod(month - 1 + months, 12)
        self.paper.now = beginning((year + years, index + 1)) - before

    # How it is done in the books

    def paper_call(self, key: int, units: int, retry: str | None) -> PaperCall:
        call = PaperCall(uuid7(), self.key(key), units, f"{units} images", retry)
        if retry:
            self.repeatable.append(call)
        return call

    def key(self, number: int) -> int:
        """One that works, mostly."""
        good = [pk for pk, key in self.paper.keys.items() if key.lives_at(self.paper.now)]
        return self.one_of(self.rows if number % 8 == 7 or not good else good, number // 8)

    def settle(self, calls: list[PaperCall]) -> None:
        self.clock.now = moment(self.paper.now)
        given = settle([self.open_call(call) for call in calls])
        for call, outcome in zip(calls, given, strict=True):
            expected = self.paper.settle(call)
            if isinstance(outcome, Answer):
                assert expected.code == ""
                self.check_answer(call, outcome, expected)
            else:
                assert outcome.type.code == expected.code
                assert ("Retry-After" in outcome.headers) == (outcome.type.status == 429)
            if expected.code not in ("revoked_key", "expired_key"):
                self.check_rate(call, outcome.headers)

    def open_call(self, call: PaperCall) -> OpenCall:
        opened = OpenCall(call.id, self.rows[call.key], 0.0, written)
        if call.units:
            opened.images = np.zeros((call.units, 1), np.float32)
        else:
            opened.refusal = Problem(WRONG_SHAPE, "no image")
        if call.retry:
            opened.retry = idempotency.retry(call.retry, "/", "", call.body.encode())
        return opened

    # What must agree

    def check_answer(self, call: PaperCall, answer: Answer, expected: Outcome) -> None:
        assert answer.id == expected.id
        assert ("Idempotent-Replayed" in answer.headers) == expected.is_replayed
        if expected.is_replayed:
            assert answer.body == self.bodies[answer.id]
            return
        self.bodies[answer.id] = answer.body
        key = self.paper.keys[call.key]
        account, plan = self.account_and_plan(call)
        usage = json.loads(answer.body)
        left = max(account.limit * 10_000 - account.cost(), 0)
        assert (usage["units"], money(usage["cost"])) == (call.units, expected.cost)
        assert usage["period"] == "{}-{:02}".format(*account.month)
        assert usage["period_units"] == account.units[key.livemode]
        assert usage["remaining_free"] == max(plan.allowance - account.units[key.livemode], 0)
        limit_left = usage["spend_limit_remaining"]
        assert (limit_left and money(limit_left)) == (left if plan.tiers else None)

    def check_rate(self, call: PaperCall, headers: Any) -> None:
        account, plan = self.account_and_plan(call)
        at = max(self.paper.now, beginning(account.month))
        owed = account.debts[self.paper.keys[call.key].livemode].at(at)
        interval = SECOND // plan.rate.per_second
        left = max((plan.rate.burst * interval - owed) // interval, 0)
        whole = -(-owed // SECOND)
        assert headers["RateLimit"] == f'"{plan.name}";r={left};t={whole}'

    def account_and_plan(self, call: PaperCall) -> tuple[PaperAccount, Any]:
        key = self.paper.keys[call.key]
        account = self.paper.accounts[key.customer]
        return account, account.plan_for(key.livemode)

    @invariant()
    def accounts_agree(self) -> None:
        for account in Account.objects.filter(pk__in=self.paper.accounts):
            paper = self.paper.accounts[account.pk]
            assert (account.plan, account.spend_limit_cents) == (paper.plan, paper.limit)
            assert STANDINGS.get(account.status, "") == paper.standing
            assert (account.period.year, account.period.month) == paper.month
            assert {True: account.live_units, False: account.test_units} == paper.units
            told = {"allowance": account.allowance_told, "spend": account.spend_told}
            assert told == paper.told
            tats = {True: account.live_tat, False: account.test_tat}
            for mode, debt in paper.debts.items():
                assert micros(tats[mode]) == debt.since + debt.owed

    @invariant()
    def log_hours_and_what_is_stored_agree(self) -> None:
        log = Call.objects.values_list("pk", "key", "release", "units", "problem")
        assert {pk: tuple(row) for pk, *row in log} == self.paper.log
        hours = UsageHour.objects.values_list("key", "release", "hour", "calls", "units", "errors")
        totals = {
            (key, release, micros(hour) // (3600 * SECOND)): tuple(numbers)
            for key, release, hour, *numbers in hours
        }
        assert totals == self.paper.totals()
        stored = Idempotency.objects.values_list(
            "customer", "livemode", "idempotency_key", "call_id", "expires_at"
        )
        assert {
            (customer, livemode, key): (call, micros(expires))
            for customer, livemode, key, call, expires in stored
        } == {identity: answer[1:] for identity, answer in self.paper.stored.items()}

    @invariant()
    def notices_agree(self) -> None:
        notices = Notice.objects.values_list("account", "period", "kind", "percent", "limit")
        assert {
            (account, (period.year, period.month), kind, percent, limit)
            for account, period, kind, percent, limit in notices
        } == self.paper.notices


def test_books_and_paper_agree_whatever_happens(
    db: None, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "current", Fake)
    monkeypatch.setattr(BooksAndPaper, "clock", clock, raising=False)
    run(
        BooksAndPaper,
        settings=settings(
            max_examples=50,
            stateful_step_count=40,
            derandomize=True,
            database=None,
            deadline=timedelta(seconds=30),
        ),
    )
