import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.forms import NewKeyForm
from accounts.models import APIKey
from accounts.views import refuse_too_many
from billing.ledger import AccountState, Charge, KeyState, charge, decide
from billing.models import Account, UsageHour
from tests.conftest import Holder

NOON = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
NOVEMBER = AccountState(date(2026, 11, 1), 10, 20)
GOOD = KeyState(None, None, None)


def asked(
    units: int = 1, livemode: bool = False, at: datetime = NOON, of: Holder | None = None
) -> Charge:
    customer_id, key_id = (of.customer.pk, of.row.pk) if of else (1, 1)
    return Charge(customer_id, key_id, livemode, "softmax-1" if units else "", units, at)


def test_units_are_counted_on_the_account_of_their_mode() -> None:
    assert decide(NOVEMBER, GOOD, asked(3)).account == AccountState(date(2026, 11, 1), 10, 23)
    live = decide(NOVEMBER, GOOD, asked(3, livemode=True))
    assert live.account == AccountState(date(2026, 11, 1), 13, 20)
    assert (live.units, live.release, live.at) == (3, "softmax-1", NOON)


def test_a_call_refused_before_has_no_units_and_no_release() -> None:
    verdict = decide(NOVEMBER, GOOD, asked(0))
    assert (verdict.units, verdict.release, verdict.account) == (0, "", NOVEMBER)
    assert verdict.refusal is None


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (KeyState(NOON, None, None), "revoked_key"),
        (KeyState(NOON + timedelta(days=1), None, None), "revoked_key"),
        (KeyState(None, NOON, None), "expired_key"),
    ],
)
def test_a_dead_key_is_refused_whatever_was_predicted(key: KeyState, code: str) -> None:
    verdict = decide(NOVEMBER, key, asked(3))
    assert verdict.refusal
    assert verdict.refusal.type.code == code
    assert (verdict.units, verdict.release, verdict.account) == (0, "", NOVEMBER)


def test_a_key_lives_until_the_instant_of_its_expiry() -> None:
    key = KeyState(None, NOON + timedelta(microseconds=1), None)
    assert decide(NOVEMBER, key, asked()).refusal is None


def test_a_new_month_begins_at_zero() -> None:
    first = datetime(2026, 12, 1, tzinfo=UTC)
    verdict = decide(NOVEMBER, GOOD, asked(2, at=first))
    assert verdict.account == AccountState(date(2026, 12, 1), 0, 2)
    assert verdict.at == first


def test_a_call_of_last_month_is_counted_when_the_new_one_opened() -> None:
    december = AccountState(date(2026, 12, 1), 5, 5)
    verdict = decide(december, GOOD, asked(2, at=NOON))
    assert verdict.at == datetime(2026, 12, 1, tzinfo=UTC)
    assert verdict.account == AccountState(date(2026, 12, 1), 5, 7)


def test_the_first_call_opens_the_account(owner: Holder) -> None:
    charge([asked(2, of=owner)])
    account = Account.objects.get(customer=owner.customer)
    assert (account.period, account.live_units, account.test_units) == (date(2026, 11, 1), 0, 2)


def test_a_batch_is_counted_call_by_call(owner: Holder, stranger: Holder) -> None:
    verdicts = charge(
        [asked(2, of=owner), asked(3, of=stranger), asked(4, of=owner), asked(0, of=owner)]
    )
    assert [verdict.account.test_units for verdict in verdicts] == [2, 3, 6, 6]
    assert Account.objects.get(customer=owner.customer).test_units == 6
    assert Account.objects.get(customer=stranger.customer).test_units == 3


def test_hours_hold_calls_units_and_errors(owner: Holder, stranger: Holder) -> None:
    charge([asked(2, of=owner), asked(0, of=owner), asked(1, of=stranger)])
    charge([asked(5, of=owner), asked(1, of=owner, at=NOON + timedelta(hours=1))])
    rows = UsageHour.objects.filter(customer=owner.customer).order_by("hour", "release")
    assert list(rows.values_list("hour", "release", "calls", "units", "errors")) == [
        (NOON.replace(minute=0, second=0), "", 1, 0, 1),
        (NOON.replace(minute=0, second=0), "softmax-1", 2, 7, 0),
        (NOON.replace(hour=13, minute=0, second=0), "softmax-1", 1, 1, 0),
    ]


def test_a_revoked_key_in_a_batch_hurts_only_itself(owner: Holder, stranger: Holder) -> None:
    owner.row.revoke()
    dead, alive = charge([asked(2, of=owner), asked(3, of=stranger)])
    assert dead.refusal
    assert alive.refusal is None
    assert Account.objects.get(customer=owner.customer).test_units == 0
    assert UsageHour.objects.get(customer=owner.customer).errors == 1


def test_the_last_use_of_a_key_is_noted_to_the_minute(owner: Holder) -> None:
    for seconds in (0, 59, 61):
        charge([asked(of=owner, at=NOON + timedelta(seconds=seconds))])
        noted = APIKey.objects.get(pk=owner.row.pk).last_used_at
        assert noted == NOON + timedelta(seconds=61 if seconds == 61 else 0)


@pytest.mark.parametrize("size", [1, 20])
def test_a_charge_takes_three_statements_however_many_calls(
    owner: Holder, size: int, django_assert_num_queries: object
) -> None:
    charge([asked(of=owner, at=timezone.now())])  # opens the account, notes the last use
    with django_assert_num_queries(3):  # type: ignore[operator]
        charge([asked(of=owner, at=timezone.now())] * size)


def test_the_database_refuses_hours_that_make_no_sense(owner: Holder) -> None:
    with pytest.raises(IntegrityError, match="usagehour_errors_are_calls"), transaction.atomic():
        UsageHour.objects.create(
            customer=owner.customer, key=owner.row, hour=NOON, calls=1, units=0, errors=2
        )


def in_a_thread(work: Callable[[], object]) -> "Future[object]":
    """Run it on a connection of its own."""
    future: Future[object] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        finally:
            connection.close()

    threading.Thread(target=run).start()
    return future


@pytest.mark.django_db(transaction=True)
def test_a_revocation_waits_for_the_charge_that_came_before(owner: Holder) -> None:
    with transaction.atomic():
        charge([asked(of=owner)])
        revocation = in_a_thread(owner.row.revoke)
        with pytest.raises(TimeoutError):
            revocation.result(timeout=0.5)
    revocation.result(timeout=10)


@pytest.mark.django_db(transaction=True)
def test_a_charge_that_waited_for_a_revocation_sees_it(owner: Holder) -> None:
    charge([asked(of=owner)])
    with transaction.atomic():
        owner.row.revoke()
        waiting = in_a_thread(transaction.atomic(lambda: charge([asked(of=owner)])))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
    (verdict,) = waiting.result(timeout=10)  # type: ignore[misc]
    assert verdict.refusal.type.code == "revoked_key"


@pytest.mark.django_db(transaction=True)
def test_a_charge_does_not_wait_for_the_page_of_the_keys(owner: Holder) -> None:
    """The first charge of an hour writes a row that refers to the customer whom the page locked."""
    with transaction.atomic():
        refuse_too_many(owner.customer, NewKeyForm(live_allowed=True))
        counted = in_a_thread(transaction.atomic(lambda: charge([asked(of=owner)])))
        (verdict,) = counted.result(timeout=5)  # type: ignore[misc]
    assert verdict.units == 1


@pytest.mark.django_db(transaction=True)
def test_no_unit_is_lost_between_concurrent_charges(owner: Holder, stranger: Holder) -> None:
    batches = [[asked(of=owner), asked(of=stranger)], [asked(of=stranger), asked(of=owner)]]
    work = [in_a_thread(transaction.atomic(partial(charge, batches[n % 2]))) for n in range(40)]
    for future in work:
        future.result(timeout=30)
    assert set(Account.objects.values_list("test_units", flat=True)) == {40}
    assert set(UsageHour.objects.values_list("calls", "units", "errors")) == {(40, 40, 0)}
