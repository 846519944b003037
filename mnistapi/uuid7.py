"""Time-ordered identifiers (RFC 9562, version 7): 48 bits of milliseconds, then chance."""

import os
import time
from datetime import UTC, datetime
from uuid import UUID

VERSION = 0x7 << 76
VARIANT = 0b10 << 62
RANDOM = (0xFFF << 64) | ((1 << 62) - 1)


def uuid7() -> UUID:
    """A new identifier that sorts behind every one made in an earlier millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10)) & RANDOM
    return UUID(int=milliseconds << 80 | VERSION | VARIANT | chance)


def floor(at: datetime) -> UUID:
    """The bound below every identifier made at `at` or later, above every earlier one."""
    return UUID(int=round(at.timestamp() * 1000) << 80)


def made_at(identifier: UUID) -> datetime:
    """When the identifier was made, in UTC, to the millisecond."""
    seconds, milliseconds = divmod(identifier.int >> 80, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
