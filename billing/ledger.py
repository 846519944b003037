"""The books: what each call is charged, decided under the lock of its account.

Two round trips: one locks and reads, one counts. The caller's transaction ends with the second, in
which he logs the same calls. The SQL of both is in functions of the database
(`billing/migrations/0002_limits.py`), which keep their plans in every connection, also behind a
pooler that knows no prepared statements.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.db.transaction import atomic

from billing.decision import AccountState, Charge, KeyState, Verdict, decide
from billing.models import Account
from mnistapi.transactions import Reading, Rows, Statement

LAST_USE_RESOLUTION = timedelta(minutes=1)
ACCOUNT_FIELDS = len(AccountState._fields)

# The time is told once the locks are held, by one clock for all processes and machines.
OPEN = "SELECT books.*, clock_timestamp() FROM billing_open(%s::bigint[]) AS books"


@dataclass
class Books:
    """The accounts and keys of some calls, locked to the end of the transaction.

    A key that was deleted is missing, and so is an account with no other.
    """

    accounts: dict[int, AccountState]
    keys: dict[int, KeyState]
    now: datetime

    def charge(self, charge: Charge) -> Verdict:
        """Decide on one call; the next is decided on what this one leaves."""
        account, key = self.accounts[charge.customer_id], self.keys[charge.key_id]
        verdict = decide(account, key, charge, self.now)
        self.accounts[charge.customer_id] = verdict.account
        return verdict


class NotOpen(Exception):
    """Some of these customers have no account, or some of their keys are gone."""

    def __init__(self, customer_ids: Collection[int]) -> None:
        super().__init__(customer_ids)
        self.customer_ids = customer_ids


def opened(charges: Sequence[tuple[int, int]], whoever_is_there: bool = False) -> Reading[Books]:
    """The books of these (customer, key) pairs. Raises NotOpen, unless for `whoever_is_there`.

    Accounts are locked in the order of their ids, so that two batches never wait for each other.
    The keys are locked too, so that a revocation is either seen here or waits for this commit.
    """
    key_ids = sorted({key_id for _, key_id in charges})
    rows = yield OPEN, [key_ids]
    if len(rows) < len(key_ids) and not whoever_is_there:
        raise NotOpen({customer_id for customer_id, _ in charges})
    return books_of(rows)


def books_of(rows: Rows) -> Books:
    accounts = {row[0]: AccountState(*row[1 : 1 + ACCOUNT_FIELDS]) for row in rows}
    keys = {row[1 + ACCOUNT_FIELDS]: KeyState(*row[2 + ACCOUNT_FIELDS : -1]) for row in rows}
    # Without keys there is nothing to be counted, at any time.
    now = rows[-1][-1].astimezone(UTC) if rows else datetime.now(UTC)
    return Books(accounts, keys, now)


def free_accounts(customer_ids: Iterable[int]) -> set[int]:
    """Those of these customers whose accounts nobody holds now."""
    accounts = Account.objects.filter(pk__in=customer_ids).order_by("pk")
    with atomic():
        return set(accounts.select_for_update(skip_locked=True).values_list("pk", flat=True))


def wait_for(customer_ids: Iterable[int]) -> None:
    """Wait until each charge to these accounts that is under way has ended, in a transaction."""
    accounts = Account.objects.filter(pk__in=customer_ids).order_by("pk")
    list(accounts.select_for_update().values_list("pk"))


def counting(
    books: Books, charges: Sequence[Charge], verdicts: Sequence[Verdict]
) -> list[Statement]:
    """What writes the calls to accounts and hours."""
    accounts = [{"customer_id": id, **state._asdict()} for id, state in books.accounts.items()]
    count = (
        "SELECT billing_count(%s, %s)",
        [as_json(accounts), as_json(hours_of(charges, verdicts))],
    )
    return [count, *noting_last_use(books, charges), *announcing(charges, verdicts)]


def hours_of(charges: Sequence[Charge], verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The totals that these calls add to each hour."""
    hours: dict[tuple[int, str], dict[str, Any]] = {}
    for charge, verdict in zip(charges, verdicts, strict=True):
        hour = hours.get((charge.key_id, verdict.release))
        if hour is None:
            hours[charge.key_id, verdict.release] = hour = {
                "customer_id": charge.customer_id,
                "key_id": charge.key_id,
                "release": verdict.release,
                "hour": verdict.at.replace(minute=0, second=0, microsecond=0),
                "calls": 0,
                "units": 0,
                "errors": 0,
            }
        hour["calls"] += 1
        hour["units"] += verdict.units
        hour["errors"] += not verdict.units
    return list(hours.values())


def noting_last_use(books: Books, charges: Sequence[Charge]) -> list[Statement]:
    """Keys' last use, to the minute: one more write a minute, not one a call."""
    used = {charge.key_id for charge in charges}
    old = sorted(id for id in used if is_old(books.keys[id].last_used_at, books.now))
    if not old:
        return []
    return [("UPDATE accounts_apikey SET last_used_at = %s WHERE id = ANY(%s)", [books.now, old])]


def is_old(noted: datetime | None, now: datetime) -> bool:
    return noted is None or noted < now - LAST_USE_RESOLUTION


def announcing(charges: Sequence[Charge], verdicts: Sequence[Verdict]) -> list[Statement]:
    """The notices that these calls are to be followed by."""
    return [
        (
            "INSERT INTO billing_notice "
            '(account_id, period, kind, percent, "limit", made_at) '
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [charge.customer_id, verdict.account.period, *notice, verdict.at],
        )
        for charge, verdict in zip(charges, verdicts, strict=True)
        for notice in verdict.notices
    ]


def as_json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
