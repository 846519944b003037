"""The books: what each call is charged, decided under the lock of its account."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db import connection

from accounts.authentication import refusal_of
from mnistapi.problems import Problem

LAST_USE_RESOLUTION = timedelta(minutes=1)


@dataclass(frozen=True)
class Charge:
    """What a call asks of the books. `units` is 0 for a call that is refused already."""

    customer_id: int
    key_id: int
    livemode: bool
    release: str
    units: int
    at: datetime


@dataclass(frozen=True)
class AccountState:
    """A customer's counters: `period` is the first day of the month that they count."""

    period: date
    live_units: int
    test_units: int

    def units(self, livemode: bool) -> int:
        return self.live_units if livemode else self.test_units

    def plus(self, units: int, livemode: bool) -> "AccountState":
        if livemode:
            return AccountState(self.period, self.live_units + units, self.test_units)
        return AccountState(self.period, self.live_units, self.test_units + units)


@dataclass(frozen=True)
class KeyState:
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class Verdict:
    """What the books say of a call: counted at `at`, for `units`, answered by `release`.

    A call that is not answered 200 has neither units nor release. `account` is the account behind
    this call, `refusal` why the books refuse what would have been answered.
    """

    at: datetime
    units: int
    release: str
    account: AccountState
    refusal: Problem | None = None

    @property
    def hour(self) -> datetime:
        return self.at.replace(minute=0, second=0, microsecond=0)


def charge(charges: Sequence[Charge]) -> list[Verdict]:
    """Count the calls, each in its hour and on its account, and say so call by call.

    Runs inside the transaction of the caller, who logs the same calls before it commits.
    """
    accounts, keys = lock({one.customer_id for one in charges}, {one.key_id for one in charges})
    verdicts = []
    for one in charges:
        verdict = decide(accounts[one.customer_id], keys[one.key_id], one)
        accounts[one.customer_id] = verdict.account
        verdicts.append(verdict)
    write_accounts(accounts)
    write_hours(charges, verdicts)
    write_last_use(keys, charges)
    return verdicts


def decide(account: AccountState, key: KeyState, charge: Charge) -> Verdict:
    """The decision on one call: pure, so that it can be tested without a database.

    A month never runs backwards: a call of the last instant of one, by a clock that is behind,
    when another has opened the next already, is counted in the first instant of the next.
    """
    if month_of(charge.at) > account.period:
        account = AccountState(month_of(charge.at), 0, 0)
    opened = datetime(account.period.year, account.period.month, 1, tzinfo=UTC)
    at = max(charge.at, opened)
    refusal = refusal_of(key.revoked_at, key.expires_at, at)
    if refusal or not charge.units:
        return Verdict(at, 0, "", account, refusal)
    return Verdict(at, charge.units, charge.release, account.plus(charge.units, charge.livemode))


def month_of(at: datetime) -> date:
    return date(at.year, at.month, 1)


LOCK = """
SELECT a.customer_id, a.period, a.live_units, a.test_units,
       k.id, k.revoked_at, k.expires_at, k.last_used_at
FROM billing_account a JOIN accounts_apikey k USING (customer_id)
WHERE k.id = ANY(%s)
ORDER BY a.customer_id, k.id
FOR UPDATE OF a FOR SHARE OF k
"""


def lock(
    customer_ids: Iterable[int], key_ids: set[int]
) -> tuple[dict[int, AccountState], dict[int, KeyState]]:
    """The accounts and keys, locked to the end of the transaction.

    Accounts are locked in the order of their ids, so that two batches never wait for each other,
    unless both open accounts: then PostgreSQL ends one of them.
    The keys are locked too, so that a revocation is either seen here or waits for this commit.
    """
    accounts, keys = {}, {}
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [sorted(key_ids)])
        if cursor.rowcount < len(key_ids):
            open_accounts(customer_ids)
            cursor.execute(LOCK, [sorted(key_ids)])
        for row in cursor.fetchall():
            accounts[row[0]] = AccountState(*row[1:4])
            keys[row[4]] = KeyState(*row[5:8])
    return accounts, keys


def open_accounts(customer_ids: Iterable[int]) -> None:
    """An account for each customer who has none yet, before his first call is counted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_account (customer_id, period, live_units, test_units) "
            "SELECT id, '0001-01-01', 0, 0 FROM unnest(%s) AS new (id) "
            "ORDER BY id ON CONFLICT DO NOTHING",
            [sorted(customer_ids)],
        )


def write_accounts(accounts: dict[int, AccountState]) -> None:
    rows = [
        (id, state.period, state.live_units, state.test_units) for id, state in accounts.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_account AS a "
            "SET period = new.period, live_units = new.live_units, test_units = new.test_units "
            "FROM unnest(%s::bigint[], %s::date[], %s::bigint[], %s::bigint[]) "
            "AS new (customer_id, period, live_units, test_units) "
            "WHERE a.customer_id = new.customer_id",
            columns(rows),
        )


def write_hours(charges: Sequence[Charge], verdicts: Sequence[Verdict]) -> None:
    totals: dict[tuple[int, int, str, datetime], Counter[str]] = {}
    for one, verdict in zip(charges, verdicts, strict=True):
        hour = (one.customer_id, one.key_id, verdict.release, verdict.hour)
        total = totals.setdefault(hour, Counter())
        total.update(calls=1, units=verdict.units, errors=int(not verdict.units))
    rows = [(*hour, sums["calls"], sums["units"], sums["errors"]) for hour, sums in totals.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_usagehour AS h "
            "(customer_id, key_id, release, hour, calls, units, errors) "
            "SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[], "
            "%s::bigint[], %s::bigint[], %s::bigint[]) "
            "ON CONFLICT (customer_id, key_id, release, hour) DO UPDATE SET "
            "calls = h.calls + EXCLUDED.calls, "
            "units = h.units + EXCLUDED.units, "
            "errors = h.errors + EXCLUDED.errors",
            columns(rows),
        )


def write_last_use(keys: dict[int, KeyState], charges: Sequence[Charge]) -> None:
    """Note when keys were last used, to the minute: one more write a minute, not one a call."""
    for key_id, at in {one.key_id: one.at for one in charges}.items():
        noted = keys[key_id].last_used_at
        if noted is None or noted < at - LAST_USE_RESOLUTION:
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE accounts_apikey SET last_used_at = %s WHERE id = %s", [at, key_id]
                )


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Rows turned into the arrays that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]
