"""Looks for secrets in whatever was written, also where it is packed: hex, base64, deflated."""

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, quote_plus

PACKED = re.compile(r"[\w+/.-]{16,}={0,2}")
HEX = re.compile(r"(?:[0-9a-f]{2}){16,}")
# A number of 16 digits as the two brands of the test cards have them, in one piece or in four.
CARD = re.compile(r"(?<![\w.-])[2-5]\d{3}([ -]?)\d{4}\1\d{4}\1\d{4}(?![\w.-])")


def leaks(secrets: Mapping[str, str], places: Iterable[tuple[str, str]]) -> list[str]:
    """`NAME in PLACE` for each secret, and for each number of a card, that a place's text holds."""
    return [
        f"{name} in {place}"
        for place, text in places
        for name in found(secrets, "\n".join([text, *unpacked(text)]))
    ]


def found(secrets: Mapping[str, str], text: str) -> Iterator[str]:
    for name, secret in secrets.items():
        if any(form in text for form in (secret, quote(secret), quote_plus(secret))):
            yield name
    if any(has_check_digit(number[0]) for number in CARD.finditer(text)):
        yield "the number of a card"


def unpacked(text: str) -> Iterator[str]:
    """What is within the words of the text that may be hex or base64."""
    for word in set(HEX.findall(text)):
        yield bytes.fromhex(word).decode("latin-1")
    for word in set(PACKED.findall(text)):
        # The data of a session begin with a point if they are deflated, and end with a signature.
        body = word.removeprefix(".").partition(".")[0].rstrip("=")
        with suppress(binascii.Error, ValueError):
            raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_")
            yield raw.decode("latin-1")
            with suppress(zlib.error):
                yield zlib.decompress(raw).decode("latin-1")


def has_check_digit(number: str) -> bool:
    """Whether the last digit is the one that the others make, by the rule of Luhn."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
