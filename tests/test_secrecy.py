"""What looks for secrets finds them, however they are packed, and nothing else."""

import base64
import json
from urllib.parse import quote_plus
from uuid import UUID

import pytest
from django.core import signing

from tests.secrecy import leaks

SECRETS = {"it": "whsec_ab/cd+ef gh"}
TEXT = SECRETS["it"]
CARD = "4000 0000 0000 0341"


@pytest.mark.parametrize(
    "written",
    [
        f"before{TEXT}behind",
        f"(1,\\x{f'<{TEXT}>'.encode().hex()},2)",
        f"value={quote_plus(TEXT)}&",
        json.dumps({"body": base64.b64encode(f"..{TEXT}..".encode()).decode()}),
        signing.dumps({"note": TEXT}),
        signing.dumps({"note": TEXT, "more": "x" * 500}, compress=True),
    ],
)
def test_a_secret_is_found(written: str) -> None:
    assert leaks(SECRETS, [("here", "nothing"), ("there", written)]) == ["it in there"]


@pytest.mark.parametrize("written", [CARD, CARD.replace(" ", "-"), CARD.replace(" ", "")])
def test_the_number_of_a_card_is_found(written: str) -> None:
    assert leaks({}, [("there", f'{{"number": "{written}"}}')]) == ["the number of a card in there"]


@pytest.mark.parametrize(
    "written",
    [
        "4000 0000 0000 0342",  # its check digit is wrong
        "0.4000000000000341",
        f"f{CARD.replace(' ', '')}a",
        str(UUID(int=0x4000_0000_0000_0341 << 64)),
        TEXT[:-1],
    ],
)
def test_what_is_no_secret_is_not_found(written: str) -> None:
    assert leaks(SECRETS, [("there", written)]) == []
