"""The keys that a process has seen, so that a call need not look its key up.

A hint only: what is remembered of a key never changes but for its death, and whether it lives has
the ledger's last word.
"""

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor

from django.db import close_old_connections

from accounts import authentication
from accounts.models import APIKey

MAX_KNOWN = 10_000
LOOK_UPS_AT_ONCE = 4


class KnownKeys:
    """API keys by the digest of the headers that they came in: no key itself is kept."""

    def __init__(self) -> None:
        self.by_digest: dict[bytes, APIKey] = {}
        self.look_ups = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, "look-up")

    def known(self, authorization: bytes, x_api_key: bytes) -> APIKey | None:
        """The active key of these headers, if it was looked up before."""
        row = self.by_digest.get(digest_of(authorization, x_api_key))
        return row if row and not authentication.refusal_of_now(row) else None

    async def authenticate(self, authorization: bytes, x_api_key: bytes) -> APIKey:
        """The active key of these headers. Raises a 401 problem."""
        digest = digest_of(authorization, x_api_key)
        row = self.by_digest.get(digest)
        if row is None:
            key = authentication.key_from_headers(
                authorization.decode("latin-1"), x_api_key.decode("latin-1")
            )
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self.look_ups, look_up, key)
            row = authentication.active(found)
            self.remember(digest, row)
        return authentication.active(row)

    def remember(self, digest: bytes, row: APIKey) -> None:
        if len(self.by_digest) >= MAX_KNOWN:
            self.by_digest.pop(next(iter(self.by_digest)))
        self.by_digest[digest] = row

    def forget(self, row: APIKey) -> None:
        """The ledger refused the key: let the next call find out why."""
        for digest in [digest for digest, known in self.by_digest.items() if known is row]:
            del self.by_digest[digest]


def digest_of(authorization: bytes, x_api_key: bytes) -> bytes:
    return hashlib.sha256(authorization + b"\n" + x_api_key).digest()


def look_up(key: str) -> APIKey | None:
    close_old_connections()
    row: APIKey | None = APIKey.objects.look_up(key)
    return row
