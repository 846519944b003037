"""What an API key is, with no database: `mnist_live_` or `mnist_test_`, 30 base62, 6 of CRC32.

The checksum tells a mistyped or made-up key from a real one before anything is looked up. The
random part has 178 bits, so a fast keyed digest is as safe to store as a slow one.
"""

import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 30
CHECKSUM_LENGTH = 6
PREFIX_LENGTH = len("mnist_live_") + 8
VERSION = re.compile(r"[0-9]{1,4}", re.ASCII)
FORM = re.compile(r"mnist_(live|test)_[0-9A-Za-z]{36}", re.ASCII)


class Kind(StrEnum):
    LIVE = "live"
    TEST = "test"


def generate(kind: Kind) -> str:
    """A new key."""
    body = f"mnist_{kind}_" + "".join(secrets.choice(BASE62) for _ in range(RANDOM_LENGTH))
    return body + checksum(body)


def checksum(body: str) -> str:
    """CRC32 of the key's other characters: 6 base62 digits, the most significant first."""
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def is_well_formed(text: str) -> bool:
    """Whether the text could be a key of ours at all."""
    return FORM.fullmatch(text) is not None and checksum(text[:-CHECKSUM_LENGTH]) == text[-6:]


def contains_key(text: str) -> bool:
    """Whether something that looks like a key stands anywhere in the text."""
    return FORM.search(text) is not None


def prefix(key: str) -> str:
    """The part by which a person tells one key from another: kind and 8 random characters."""
    return key[:PREFIX_LENGTH]


@dataclass(frozen=True)
class Peppers:
    """The secrets under which keys are digested, by version; new keys use `current`."""

    secrets: dict[int, bytes]
    current: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `VERSION:SECRET` or, while rotating, `NEW:SECRET,OLD:SECRET`; the first is current.

        Raises ValueError, which never quotes a secret, when the text has another form.
        """
        parts = [part.strip().partition(":") for part in text.split(",")]
        if not all(VERSION.fullmatch(number) and len(secret) >= 32 for number, _, secret in parts):
            raise ValueError(
                "API_KEY_PEPPER must be VERSION:SECRET with 32 characters or more of secret, "
                "like 1:4f9c…; while it is rotated, the new one first: 2:…,1:…"
            )
        by_version = {int(version): secret.encode() for version, _, secret in parts}
        if len(by_version) != len(parts):
            raise ValueError("API_KEY_PEPPER has two secrets of one version.")
        return cls(by_version, int(parts[0][0]))

    def digest(self, key: str, version: int) -> bytes:
        """HMAC-SHA-256 of the key: 32 bytes, the only trace of a key that is kept."""
        return hmac.digest(self.secrets[version], key.encode(), "sha256")

    def digests(self, key: str) -> dict[bytes, int]:
        """The digest under each pepper, with its version."""
        return {self.digest(key, version): version for version in self.secrets}
