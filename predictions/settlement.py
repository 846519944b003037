"""From decoded calls to settled ones: predict for all at once, then charge and log all at once.

There is no reservation. What crashes before the commit has cost nobody anything, and nothing is
answered before it: a 200 is the receipt of a committed row.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection
from django.db.transaction import atomic

from accounts.authentication import no_such_key
from billing import ledger
from billing.decision import Charge, Verdict
from billing.models import Account
from mnistapi.problems import Problem, outcome_unknown, problem_from
from mnistapi.transactions import (
    Reading,
    Statement,
    Transaction,
    is_lock_timeout,
    make_durable,
)
from predictions import idempotency, metrics
from predictions.calls import Answer, OpenCall, Outcome, Receipt
from predictions.idempotency import Identity, Stored
from predictions.models import Call
from predictions.predicting import predict

log = structlog.get_logger()

REPLAYED = {"Idempotent-Replayed": "true"}
UNAUTHORIZED = 401
LOG = "SELECT predictions_log(%s)"


Latecomers = Callable[[Collection[int]], Sequence[OpenCall]]
Counting = Callable[[Sequence[metrics.Kind], Sequence[float], float], None]  # as metrics.count


def nobody(key_ids: Collection[int]) -> Sequence[OpenCall]:
    return ()


def settle(calls: list[OpenCall]) -> list[Outcome]:
    """Answer, charge and log the calls, and give each its answer or its refusal.

    Raises nothing: where the database does not take them, none of them has happened, and each is
    told so. What fails for one of several calls fails for that one alone, and an account that is
    not to be had fails its own customer's calls alone.
    """
    began = time.perf_counter()
    outcomes = settle_together(calls)
    note(calls, outcomes, began, metrics.count)
    return outcomes


def note(
    calls: Sequence[OpenCall], outcomes: Sequence[Outcome], began: float, counting: Counting
) -> None:
    """Count a batch that is settled; what is in the books is answered also if that fails."""
    try:
        count(calls, outcomes, began, counting)
    except Exception:
        log.exception("not_counted")


def settle_together(calls: list[OpenCall]) -> list[Outcome]:
    predict(calls)
    try:
        return enter_in_the_books(calls)
    except Exception as error:
        return settle_in_spite_of(error, calls)


def settle_in_spite_of(error: Exception, calls: list[OpenCall]) -> list[Outcome]:
    """What becomes of calls that could not be entered in the books together."""
    if is_lock_timeout(error) and len({call.key.customer_id for call in calls}) > 1:
        return settle_by_customer(calls)
    if len(calls) == 1 or isinstance(error, (OperationalError, InterfaceError, Problem)):
        problem = problem_from(error)
        return [problem] * len(calls)
    log.exception("batch_failed", exc_info=error)
    return [outcome for call in calls for outcome in settle_together([call])]


def count(
    calls: Sequence[OpenCall], outcomes: Sequence[Outcome], began: float, counting: Counting
) -> None:
    """For `/metrics`: what came of the calls, how long each has taken, and all of them together."""
    now = time.perf_counter()
    kinds = list(map(kind_of, calls, outcomes))
    counting(kinds, [now - call.began for call in calls], now - began)


def kind_of(call: OpenCall, outcome: Outcome) -> metrics.Kind:
    if isinstance(outcome, Problem):
        return metrics.Kind(outcome.type.status, outcome.type.code)
    if outcome.id != call.id or call.prediction is None:
        return metrics.Kind(200)  # a replay
    return metrics.Kind(200, "", call.prediction.release, len(call.prediction.probabilities))


def settle_by_customer(calls: Sequence[OpenCall]) -> list[Outcome]:
    """Each customer's calls for themselves; last those whose account is held, and may stay so."""
    try:
        free = ledger.free_accounts({call.key.customer_id for call in calls})
    except (OperationalError, InterfaceError) as error:
        return [problem_from(error)] * len(calls)
    of: dict[int, list[OpenCall]] = {}
    for call in calls:
        of.setdefault(call.key.customer_id, []).append(call)
    outcomes: dict[UUID, Outcome] = {}
    for id in sorted(of, key=lambda id: id not in free):
        outcomes |= zip((c.id for c in of[id]), settle_together(of[id]), strict=True)
    return [outcomes[call.id] for call in calls]


def enter_in_the_books(calls: list[OpenCall]) -> list[Outcome]:
    """Decide, count and log the calls in one transaction.

    On a connection that was lost since the last one it is tried again; one that is lost at the
    commit says nothing of how that ended, so the log is asked.
    """
    transaction = Transaction()
    try:
        return settle_in(transaction, calls)
    except (OperationalError, InterfaceError):
        if transaction.is_ending or not connection_is_lost():
            raise
    connection.close()
    return settle_in(Transaction(), calls)


def connection_is_lost() -> bool:
    return connection.connection is None or connection.connection.closed != 0


def settle_in(transaction: Transaction, calls: list[OpenCall]) -> list[Outcome]:
    entry = Entry(calls)
    with transaction:
        statements = read_in(transaction, entry)
        try:
            transaction.commit(statements)
        except (OperationalError, InterfaceError):
            if not were_committed(entry.rows):
                raise
    return entry.outcomes


def read_in(transaction: Transaction, entry: "Entry") -> list[Statement]:
    """Accounts that are missing are opened; after that, who has none has no key either."""
    try:
        return transaction.read(entry.reading())
    except ledger.NotOpen as missing:
        transaction.rollback()
        Account.objects.open(missing.customer_ids)
    return transaction.read(entry.reading(whoever_is_there=True))


class Entry:
    """Calls on their way into the books, in one transaction.

    Once the accounts are locked, which may have taken a while, `latecomers` is asked for further
    calls with the same keys; they stand behind the others in `calls` and `outcomes`.
    """

    def __init__(self, calls: list[OpenCall], latecomers: Latecomers = nobody) -> None:
        self.calls = calls
        self.latecomers = latecomers
        self.outcomes: list[Outcome] = []  # true once it is committed
        self.rows: list[dict[str, Any]] = []  # of the log

    def reading(self, whoever_is_there: bool = False) -> Reading[list[Statement]]:
        """Reads the books and decides; gives what is to be written. Raises as `ledger.opened`."""
        pairs = [(call.key.customer_id, call.key.id) for call in self.calls]
        books = yield from ledger.opened(pairs, whoever_is_there)
        late = self.latecomers(books.keys.keys())
        predict(late)
        self.calls.extend(late)
        identities = [call.identity for call in self.calls if call.identity is not None]
        stored = yield from idempotency.stored_answers(identities, books.now)
        batch = Batch(books, stored)
        self.outcomes = [batch.settle(call) for call in self.calls]
        self.rows = batch.rows
        return list(batch.statements())


class Batch:
    """Calls that are settled together, one after the other, and what is to be written of them."""

    def __init__(self, books: ledger.Books, stored: dict[Identity, Stored]) -> None:
        self.books = books
        self.stored = stored
        self.charges: list[Charge] = []
        self.verdicts: list[Verdict] = []
        self.rows: list[dict[str, Any]] = []
        self.storing: list[Statement] = []

    def settle(self, call: OpenCall) -> Outcome:
        """The outcome of one call, in the light of those before it.

        One whose key has died since it was looked up leaves no row, as if it had been dead then.
        """
        if call.key.id not in self.books.keys:
            return no_such_key()
        stored = self.stored.get(call.identity) if call.identity else None
        refusal = call.refusal
        if stored and call.retry:
            refusal = None if stored.digest == call.retry.digest else idempotency.reused()
        charge = charge_of(call, is_free=bool(refusal or stored))
        verdict = self.books.charge(charge)
        if verdict.refusal and verdict.refusal.type.status == UNAUTHORIZED:
            return verdict.refusal
        refusal = verdict.refusal or refusal
        if stored and not refusal:
            return Answer(stored.call_id, stored.body, verdict.headers | REPLAYED)
        self.log(call, charge, verdict, refusal)
        if refusal:
            return replace(refusal, headers={**refusal.headers, **verdict.headers})
        return self.answer(call, verdict)

    def log(
        self, call: OpenCall, charge: Charge, verdict: Verdict, refusal: Problem | None
    ) -> None:
        """A row for every call but a retry that is answered: that one has its row."""
        self.charges.append(charge)
        self.verdicts.append(verdict)
        self.rows.append(
            {
                "id": call.id,
                "at": verdict.at,
                "customer_id": charge.customer_id,
                "key_id": charge.key_id,
                "release": verdict.release,
                "units": verdict.units,
                "status": refusal.type.status if refusal else 200,
                "problem": refusal.type.code if refusal else "",
                "latency_ms": (time.perf_counter() - call.began) * 1000,
            }
        )

    def answer(self, call: OpenCall, verdict: Verdict) -> Answer:
        assert call.prediction is not None  # it has units, so it was predicted
        receipt = Receipt(call.id, call.key.livemode, call.prediction, verdict)
        answer = Answer(call.id, call.write(receipt), verdict.headers)
        if call.retry and call.identity:
            stored = Stored(call.retry.digest, call.id, answer.body)
            self.stored[call.identity] = stored
            self.storing.append(idempotency.storing(call.identity, stored, self.books.now))
        return answer

    def statements(self) -> Iterator[Statement]:
        """What enters the batch in the books."""
        yield from ledger.counting(self.books, self.charges, self.verdicts)
        if self.rows:
            yield LOG, [ledger.as_json(self.rows)]
        yield from self.storing


def charge_of(call: OpenCall, is_free: bool) -> Charge:
    key, prediction = call.key, call.prediction
    units = 0 if is_free or prediction is None else len(prediction.probabilities)
    release = prediction.release if prediction else ""
    return Charge(key.customer_id, key.id, key.livemode, release, units)


def were_committed(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the log holds these for good, asked on a new connection; a problem if nobody can say.

    The server may be at that commit still, and then it holds the accounts.
    """
    connection.close()
    try:
        with atomic():
            ledger.wait_for({row["customer_id"] for row in rows})
            found = Call.objects.filter(pk__in=[row["id"] for row in rows]).exists()
        make_durable()
        return found
    except (OperationalError, InterfaceError) as error:
        raise outcome_unknown() from error
