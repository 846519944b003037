"""A cap is a cap, a retry is free, a revoked key is dead: on four processes, at any concurrency."""

import os
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Any

import orjson
import pytest

from billing import rate_limit, rating
from billing.plans import FREE, PAYG, SANDBOX, Plan
from tests.conftest import DIGIT
from tests.serving import DOORS, Answer, Issue, Server, drop_database, new_database, together

RAW = DIGIT.read_bytes()
IMAGE = orjson.loads(RAW)
CALLS = 200
LEFT = 50


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Two servers of one process each behind each door, all on one database."""
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    started: list[Server] = []
    try:
        for door in [*DOORS, *DOORS]:
            folder = tmp_path_factory.mktemp(door)
            server = Server(url, folder, {"MODEL_RUNTIME": "litert"}, door=door, workers=1)
            started.append(server)
            _ = server.serve() if started[1:] else server.start()
        yield started
    finally:
        for server in started:
            server.stop()
        drop_database(here, url)


@dataclass
class Caller:
    """A customer who calls all the processes in turn."""

    processes: list[Server]
    email: str
    key: str

    def call_at_once(self, bodies: list[bytes], **headers: str) -> list[Answer]:
        servers = cycle(self.processes)
        return together(
            [
                partial(next(servers).post, "/v1/predictions", body, self.key, **headers)
                for body in bodies
            ]
        )

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """{me} stands for his id."""
        whose = (
            "(SELECT c.id FROM accounts_customer c JOIN accounts_user u ON u.id = c.user_id "
            f"WHERE u.email = '{self.email}')"
        )
        return self.processes[0].rows(query.format(me=whose))

    def alter(self, assignments: str) -> None:
        self.ask(f"UPDATE billing_account SET {assignments} WHERE customer_id = {{me}}")

    def check_the_books(self, answers: list[Answer]) -> None:
        """Each answer is a row, and the hours and the account are the sums of the rows."""
        seen = Counter(answer.status for answer in answers)
        logged = "SELECT status, count(*) FROM predictions_call WHERE customer_id = {me} GROUP BY 1"
        assert dict(self.ask(logged)) == seen
        units = sum(units_of(answer) for answer in answers)
        errors = len(answers) - seen[200]
        for query in (
            "SELECT sum(calls), sum(units), sum(errors) FROM billing_usagehour "
            "WHERE customer_id = {me}",
            "SELECT count(*), sum(units), count(*) FILTER (WHERE status <> 200) "
            "FROM predictions_call WHERE customer_id = {me}",
        ):
            assert self.ask(query) == [(len(answers), units, errors)]


def units_of(answer: Answer) -> int:
    return int(answer.body["usage"]["units"]) if answer.status == 200 else 0


def usages(answers: list[Answer]) -> list[Any]:
    """What the answers of 200 say of the account, in the order in which it was used up."""
    found = [answer.body["usage"] for answer in answers if answer.status == 200]
    return sorted(found, key=lambda usage: usage["period_units"])


def codes(answers: list[Answer]) -> Counter[str]:
    return Counter(answer.body["code"] for answer in answers if answer.status != 200)


@pytest.fixture
def caller(processes: list[Server]) -> Callable[..., Caller]:
    """Makes a customer with a key of that kind, on that plan."""

    def make(kind: str, plan: str) -> Caller:
        email = f"{secrets.token_hex(8)}@example.com"
        (key,) = processes[0].issue(Issue(email, kind, plan))
        return Caller(processes, email, key)

    return make


def test_of_200_calls_at_once_exactly_the_50_that_are_left_are_answered(
    caller: Callable[..., Caller],
) -> None:
    tester = caller("test", "free")
    tester.alter(f"period = date_trunc('month', now()), test_units = {SANDBOX.allowance - LEFT}")
    answers = tester.call_at_once([RAW] * CALLS)
    assert codes(answers) == {"test_allowance_used_up": CALLS - LEFT}
    first = SANDBOX.allowance - LEFT + 1
    assert [(usage["period_units"], usage["remaining_free"]) for usage in usages(answers)] == [
        (first + place, LEFT - place - 1) for place in range(LEFT)
    ]
    tester.check_the_books(answers)
    assert tester.ask("SELECT test_units FROM billing_account WHERE customer_id = {me}") == [
        (SANDBOX.allowance,)
    ]


def test_a_free_allowance_ends_to_the_unit_and_asks_for_payment(
    caller: Callable[..., Caller],
) -> None:
    left = 20  # less than the burst of the plan, so that not the rate is what ends it
    owner = caller("live", "free")
    owner.alter(f"period = date_trunc('month', now()), live_units = {FREE.allowance - left}")
    answers = owner.call_at_once([RAW] * CALLS)
    assert [usage["remaining_free"] for usage in usages(answers)] == [*range(left - 1, -1, -1)]
    assert codes(answers)["payment_required"] >= FREE.rate.burst - left
    assert codes(answers).keys() == {"payment_required", "rate_limited"}
    owner.check_the_books(answers)
    told = owner.ask("SELECT percent FROM billing_notice WHERE account_id = {me} ORDER BY percent")
    assert told == [(80,), (100,)]


def test_a_call_that_fits_only_partly_is_refused_whole(caller: Callable[..., Caller]) -> None:
    tester = caller("test", "free")
    tester.alter(f"period = date_trunc('month', now()), test_units = {SANDBOX.allowance - LEFT}")
    answers = tester.call_at_once([orjson.dumps([IMAGE] * 3)] * 60)
    assert len(usages(answers)) == LEFT // 3
    assert usages(answers)[-1]["remaining_free"] == LEFT % 3
    tester.check_the_books(answers)


def test_a_spend_limit_ends_to_the_unit(caller: Callable[..., Caller]) -> None:
    price, limit = PAYG.tiers[1].price, 3  # cents
    used = PAYG.allowance + limit * rating.MICROS_PER_CENT // price - LEFT
    owner = caller("live", "payg")
    owner.alter(
        f"period = date_trunc('month', now()), live_units = {used}, spend_limit_cents = {limit}"
    )
    answers = owner.call_at_once([RAW] * CALLS)
    assert codes(answers) == {"spend_limit_reached": CALLS - LEFT}
    assert [
        (usage["period_units"], usage["cost"], usage["spend_limit_remaining"])
        for usage in usages(answers)
    ] == [
        (used + place, rating.text(price), rating.text((LEFT - place) * price))
        for place in range(1, LEFT + 1)
    ]
    owner.check_the_books(answers)
    told = owner.ask(
        "SELECT kind, percent FROM billing_notice WHERE account_id = {me} ORDER BY kind, percent"
    )
    assert told == [("allowance", 100), ("spend", 50), ("spend", 80), ("spend", 100)]


@pytest.mark.parametrize(("kind", "plan"), [("live", FREE), ("test", SANDBOX)])
def test_the_rate_is_kept_as_if_one_clock_had_counted_one_call_after_the_other(
    kind: str, plan: Plan, caller: Callable[..., Caller]
) -> None:
    owner = caller(kind, "free")
    answers = owner.call_at_once([RAW] * CALLS)
    if plan is SANDBOX:
        answers += owner.call_at_once([RAW] * CALLS)
        answers += owner.call_at_once([RAW] * (CALLS // 2))
    time.sleep(1.5)  # some of the rate comes back
    answers += owner.call_at_once([RAW] * CALLS)
    assert codes(answers).keys() == {"rate_limited"}
    owner.check_the_books(answers)
    (tat,) = replayed(plan, owner, {answer.headers["X-Request-Id"]: answer for answer in answers})
    assert owner.ask(
        f"SELECT {kind}_tat FROM billing_account WHERE customer_id = {{me}}"
    ) == [(tat,)]  # fmt: skip


def replayed(plan: Plan, owner: Caller, answers: dict[str, Answer]) -> set[datetime]:
    """Take the calls of the log one after the other: each must have been answered just so.

    Calls that were settled together were decided at one time: of these, those that were given came
    first, and each left one fewer.
    """

    def left(id: str) -> int:
        return int(answers[id].headers["RateLimit"].partition("r=")[2].partition(";")[0])

    rows = owner.ask("SELECT at, id::text, status FROM predictions_call WHERE customer_id = {me}")
    tat = rows[0][0].replace(year=1970)
    for at, id, status in sorted(rows, key=lambda row: (row[0], row[2], -left(row[1]))):
        taken = rate_limit.take(plan.rate, tat, at)
        assert (status == 200) == (not taken.wait)
        assert answers[id].headers["RateLimit"] == rate_limit.limit_header(plan, taken)
        assert answers[id].headers["RateLimit-Policy"] == rate_limit.policy_header(plan)
        if taken.wait:
            assert answers[id].headers["Retry-After"] == str(rate_limit.seconds(taken.wait))
        tat = taken.tat
    return {tat}


# Retries


def test_100_calls_at_once_with_one_idempotency_key_are_one_call(
    caller: Callable[..., Caller],
) -> None:
    owner = caller("live", "volume")
    answers = owner.call_at_once([RAW] * 100, **{"Idempotency-Key": "the only one"})
    assert {answer.status for answer in answers} == {200}
    assert len({answer.raw for answer in answers}) == 1
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 1
    first = [answer for answer in answers if answer.headers["Idempotent-Replayed"] is None]
    assert len(first) == 1
    owner.check_the_books(first)


def test_of_two_bodies_with_one_idempotency_key_one_is_answered_and_charged_once(
    caller: Callable[..., Caller],
) -> None:
    owner = caller("live", "volume")
    two = [RAW, orjson.dumps([IMAGE, IMAGE])]
    answers = owner.call_at_once(two * 40, **{"Idempotency-Key": "two bodies"})
    assert codes(answers) == {"idempotency_key_reused": 40}
    assert len({answer.raw for answer in answers if answer.status == 200}) == 1
    refused = [answer for answer in answers if answer.status != 200]
    first = [
        answer
        for answer in answers
        if answer.status == 200 and answer.headers["Idempotent-Replayed"] is None
    ]
    assert len(first) == 1
    owner.check_the_books(first + refused)


# Revocation


def test_from_the_commit_of_a_revocation_no_call_is_answered_200_by_any_process(
    processes: list[Server],
) -> None:
    keys = processes[0].issue(*[Issue(f"{secrets.token_hex(8)}@example.com")] * 6)
    revoked_at: dict[str, float] = {}
    answers: list[tuple[str, float, int]] = []
    stopped = threading.Event()

    def call_until_stopped(server: Server) -> None:
        for key in cycle(keys):
            if stopped.is_set():
                return
            began = time.monotonic()
            answers.append((key, began, server.post("/v1/predictions", RAW, key).status))

    def revoke_one_after_the_other() -> None:
        for key in keys:
            wait_until(lambda key=key: sum((key, 200) == (a[0], a[2]) for a in answers) >= 20)
            processes[0].rows(
                "UPDATE accounts_apikey SET revoked_at = now() WHERE prefix = %s", key[:19]
            )
            revoked_at[key] = time.monotonic()
        count = len(answers)
        wait_until(lambda: len(answers) > count + 50)
        stopped.set()

    try:
        together(
            [*(partial(call_until_stopped, s) for s in processes * 2), revoke_one_after_the_other]
        )
    finally:
        stopped.set()
    after = Counter(status for key, began, status in answers if began > revoked_at[key])
    assert after.keys() == {401}
    assert after[401] > 50
    for key in keys:
        logged = processes[0].rows(
            "SELECT count(*) FROM predictions_call c JOIN accounts_apikey k ON k.id = c.key_id "
            "WHERE k.prefix = %s",
            key[:19],
        )
        assert logged == [(sum((key, 200) == (a[0], a[2]) for a in answers),)]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
