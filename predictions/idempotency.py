"""A retry is free: what was answered to an `Idempotency-Key` is answered to it again.

The rows are read and written under the lock of the account, so a call that is sent twice at once is
answered by the second what the first has just committed: nobody is told to come back later.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from mnistapi.problems import IDEMPOTENCY_KEY_REUSED, INVALID_IDEMPOTENCY_KEY, Problem
from mnistapi.transactions import Reading, Statement

LIFETIME = timedelta(hours=24)
MAX_LENGTH = 255


class Identity(NamedTuple):
    """What makes two calls the same for their customer: test and live calls never are."""

    customer_id: int
    livemode: bool
    key: str


class Retry(NamedTuple):
    """The `Idempotency-Key` of a call, and the SHA-256 of all that it asks."""

    key: str
    digest: bytes


class Stored(NamedTuple):
    digest: bytes
    call_id: UUID
    body: bytes


def retry(key: str, path: str, content_type: str, body: bytes) -> Retry:
    """Raises a problem for a key that is empty, too long, or not of printable ASCII."""
    if not (0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise Problem(
            INVALID_IDEMPOTENCY_KEY,
            f"An idempotency key is 1 to {MAX_LENGTH} printable ASCII characters.",
        )
    digest = hashlib.sha256(f"{path}\n{content_type}\n".encode())
    digest.update(body)
    return Retry(key, digest.digest())


def reused() -> Problem:
    return Problem(
        IDEMPOTENCY_KEY_REUSED,
        "This idempotency key was used for another request. Send a new key with this one.",
    )


STORED = """
SELECT s.customer_id, s.livemode, s.idempotency_key, s.digest, s.call_id, s.body
FROM predictions_idempotency s
JOIN unnest(%s::bigint[], %s::boolean[], %s::varchar[]) AS wanted (c, l, k)
ON s.customer_id = c AND s.livemode = l AND s.idempotency_key = k
WHERE s.expires_at > %s
"""

STORE = """
INSERT INTO predictions_idempotency
    (customer_id, livemode, idempotency_key, digest, call_id, body, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (customer_id, livemode, idempotency_key) DO UPDATE SET
    digest = EXCLUDED.digest, call_id = EXCLUDED.call_id, body = EXCLUDED.body,
    expires_at = EXCLUDED.expires_at
"""


def stored_answers(
    identities: Iterable[Identity], now: datetime
) -> Reading[dict[Identity, Stored]]:
    """What was answered in the last 24 hours; no query if nobody asks."""
    wanted = set(identities)
    if not wanted:
        return {}
    rows = yield STORED, [*map(list, zip(*wanted, strict=True)), now]
    return {Identity(*row[:3]): Stored(bytes(row[3]), row[4], bytes(row[5])) for row in rows}


def storing(identity: Identity, answer: Stored, now: datetime) -> Statement:
    """What stores an answer; one that has expired gives way to it."""
    return STORE, [*identity, answer.digest, answer.call_id, answer.body, now + LIFETIME]


FORGET = """
DELETE FROM predictions_idempotency
WHERE (customer_id, livemode, idempotency_key) IN (
    SELECT customer_id, livemode, idempotency_key FROM predictions_idempotency
    WHERE expires_at <= clock_timestamp() LIMIT %s FOR UPDATE SKIP LOCKED
)
"""


def forget_expired(at_once: int = 1000) -> int:
    """Delete what nobody is answered any more, some at a time; gives how many.

    A call that stores its answer over an expired one waits for some of these, never for all, and
    none waits for a call.
    """
    forgotten = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(FORGET, [at_once])
            count: int = cursor.rowcount
        forgotten += count
        if count < at_once:
            return forgotten
