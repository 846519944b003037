import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys
from accounts.keys import Kind, Peppers

SECRET = "s" * 32
OTHER = "o" * 32


@pytest.mark.parametrize("kind", list(Kind))
def test_a_key_has_the_promised_form(kind: Kind) -> None:
    key = keys.generate(kind)
    assert re.fullmatch(rf"mnist_{kind}_[0-9A-Za-z]{{30}}[0-9A-Za-z]{{6}}", key)
    assert keys.is_well_formed(key)


def test_two_keys_differ() -> None:
    assert keys.generate(Kind.TEST) != keys.generate(Kind.TEST)


def test_the_checksum_is_the_crc32_of_the_rest_in_base62() -> None:
    # zlib.crc32(b"123456789") is the check value of CRC-32, 0xCBF43926 = 3421780262.
    assert keys.checksum("123456789") == "3jZRME"


@given(place=st.integers(0, 46), character=st.sampled_from(keys.BASE62))
def test_a_key_with_one_wrong_character_is_not_well_formed(place: int, character: str) -> None:
    key = keys.generate(Kind.LIVE)
    wrong = key[:place] + character + key[place + 1 :]
    assert keys.is_well_formed(wrong) == (wrong == key)


@given(st.text())
def test_no_text_breaks_the_check(text: str) -> None:
    assert not keys.is_well_formed(text)
    assert not keys.is_well_formed(keys.generate(Kind.TEST) + text[:1] + "x")


def test_a_key_is_found_inside_a_text() -> None:
    assert keys.contains_key(f"a=1&key={keys.generate(Kind.TEST)}&b=2")
    assert not keys.contains_key("a=1&key=mnist_test_short")


def test_the_digest_depends_on_key_and_pepper() -> None:
    peppers = Peppers.parse(f"2:{OTHER},1:{SECRET}")
    key = keys.generate(Kind.TEST)
    digests = {
        peppers.digest(key, 1),
        peppers.digest(key, 2),
        peppers.digest(keys.generate(Kind.TEST), 1),
    }
    assert len(digests) == 3
    assert all(len(digest) == 32 for digest in digests)


def test_the_first_pepper_is_the_current_one() -> None:
    assert Peppers.parse(f"2:{OTHER}, 1:{SECRET}").current == 2


@pytest.mark.parametrize(
    "text", ["", SECRET, f"x:{SECRET}", "1:short", f"1:{SECRET},", f"1:{SECRET},1:{OTHER}"]
)
def test_a_pepper_of_another_form_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="API_KEY_PEPPER") as caught:
        Peppers.parse(text)
    assert SECRET not in str(caught.value)
