from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import keys
from accounts.keys import Kind, Peppers
from accounts.models import APIKey, Customer
from predictions.models import Call
from tests.conftest import Holder

BLANK = [0] * 784


def test_the_key_is_taken_from_either_header(call: Any, owner: Holder, client: Client) -> None:
    bearer = client.post(
        "/v1/predictions",
        BLANK,
        "application/json",
        headers={"Authorization": f"bearer {owner.key}"},
    )
    header = client.post(
        "/v1/predictions", BLANK, "application/json", headers={"X-API-Key": owner.key}
    )
    assert (bearer.status_code, header.status_code) == (200, 200)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": "Basic dTpw"}, "missing_key"),
        ({"Authorization": "Bearer"}, "invalid_key"),
        ({"Authorization": "Bearer nonsense"}, "invalid_key"),
        ({"X-API-Key": "mnist_live_" + "a" * 36}, "invalid_key"),
        ({"Authorization": "Bearer " + keys.generate(Kind.TEST)[:-1]}, "invalid_key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
def test_what_cannot_be_a_key_never_reaches_the_database(
    path: str,
    headers: dict[str, str],
    code: str,
    client: Client,
    django_assert_num_queries: Any,
    db: None,
) -> None:
    with django_assert_num_queries(0):
        answer = client.post(path, BLANK, "application/json", headers=headers)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["code"] == code


def test_a_well_formed_key_that_was_never_issued_is_refused(call: Any) -> None:
    answer = call(BLANK, key=keys.generate(Kind.LIVE))
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")


def test_a_revoked_key_is_refused(call: Any, revoked: Holder) -> None:
    answer = call(BLANK, key=revoked.key)
    assert (answer.status_code, answer.json()["code"]) == (401, "revoked_key")
    assert not Call.objects.exists()


def test_an_expired_key_is_refused(call: Any, owner: Holder) -> None:
    APIKey.objects.update(expires_at=timezone.now())
    assert call(BLANK).json()["code"] == "expired_key"
    APIKey.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    assert call(BLANK).status_code == 200


@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
@pytest.mark.parametrize("name", ["key", "api_key", "anything"])
def test_a_key_in_the_query_string_is_refused_even_beside_a_good_header(
    path: str, name: str, call: Any, owner: Holder
) -> None:
    answer = call(BLANK, path=f"{path}?{name}={owner.key}")
    assert (answer.status_code, answer.json()["code"]) == (400, "key_in_query")
    assert owner.key not in answer.content.decode()


def test_a_key_that_is_percent_encoded_in_the_query_string_is_refused(
    call: Any, owner: Holder
) -> None:
    answer = call(BLANK, path=f"/v1/predictions?k={owner.key.replace('_', '%5F')}")
    assert (answer.status_code, answer.json()["code"]) == (400, "key_in_query")


def test_a_key_rotated_without_overlap_is_revoked(call: Any, owner: Holder) -> None:
    _, successor = owner.row.rotate(timedelta(0))
    assert call(BLANK).json()["code"] == "revoked_key"
    assert call(BLANK, key=successor).status_code == 200


def test_a_call_over_plain_http_is_refused_where_there_is_https(call: Any, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = call(BLANK)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert call(BLANK, secure=True).status_code == 200


def test_only_a_digest_of_the_key_is_kept(owner: Holder) -> None:
    row = APIKey.objects.filter(pk=owner.row.pk).values().get()
    kept = bytes(row.pop("digest"))
    assert len(kept) == 32
    assert owner.key not in str(row)
    assert owner.key[len(row["prefix"]) : -4] not in str(row)


def test_a_key_outlives_the_rotation_of_the_pepper(
    settings: Any, owner: Holder, call: Callable[..., Any]
) -> None:
    old = settings.API_KEY_PEPPERS
    version, new = old.current + 1, b"n" * 32
    settings.API_KEY_PEPPERS = Peppers({version: new, **old.secrets}, version)
    assert call(BLANK).status_code == 200
    assert APIKey.objects.get(pk=owner.row.pk).pepper_version == version
    settings.API_KEY_PEPPERS = Peppers({version: new}, version)
    assert call(BLANK).status_code == 200
    settings.API_KEY_PEPPERS = Peppers({version: b"x" * 32}, version)
    assert call(BLANK).json()["code"] == "invalid_key"


def test_create_key_makes_the_customer_once_and_prints_only_the_key(db: None, capsys: Any) -> None:
    printed = []
    for live in (False, True):
        call_command("create_key", "New@Example.com", live=live)
        printed.append(capsys.readouterr().out)
    test, live_key = (line.removesuffix("\n") for line in printed)
    assert keys.is_well_formed(test)
    assert test.startswith("mnist_test_")
    assert live_key.startswith("mnist_live_")
    customer = Customer.objects.get(user__email="new@example.com")
    assert {row.prefix for row in customer.keys.all()} == {keys.prefix(test), keys.prefix(live_key)}


def test_create_key_refuses_what_is_no_address(db: None) -> None:
    with pytest.raises(CommandError):
        call_command("create_key", "nobody")


def test_revoke_key_kills_the_key_with_that_prefix_only(
    call: Any, owner: Holder, stranger: Holder
) -> None:
    call_command("revoke_key", owner.row.prefix)
    assert call(BLANK).status_code == 401
    assert call(BLANK, key=stranger.key).status_code == 200


@pytest.mark.parametrize("prefix", ["", "mnist_test_", "mnist_test_00000000"])
def test_revoke_key_revokes_nothing_unless_one_key_is_meant(prefix: str, owner: Holder) -> None:
    with pytest.raises(CommandError):
        call_command("revoke_key", prefix)
    assert APIKey.objects.active().count() == 1
