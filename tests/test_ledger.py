from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from accounts.keys import Kind
from accounts.models import APIKey
from accounts.views import locked
from billing import ledger
from billing.models import Account, Notice, UsageHour
from billing.plans import FREE, PAYG
from mnistapi.transactions import Transaction
from tests.books import asked, enter, used
from tests.conftest import Holder
from tests.threads import in_a_thread, still_waits

NOON = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
HOUR = NOON.replace(minute=0, second=0)


def test_the_first_call_opens_the_account(owner: Holder) -> None:
    used(owner, 2, NOON)
    account = Account.objects.get(customer=owner.customer)
    assert (account.period, account.live_units, account.test_units) == (date(2026, 11, 1), 0, 2)
    assert account.plan == FREE.name


def test_a_batch_is_counted_call_by_call(owner: Holder, stranger: Holder) -> None:
    verdicts = enter([asked(owner, 2), asked(stranger, 3), asked(owner, 4), asked(owner, 0)])
    assert [verdict.account.test_units for verdict in verdicts] == [2, 3, 6, 6]
    assert [verdict.taken.remaining for verdict in verdicts] == [399, 399, 398, 397]
    assert Account.objects.get(customer=owner.customer).test_units == 6
    assert Account.objects.get(customer=stranger.customer).test_units == 3


def test_what_was_decided_is_what_the_next_charge_finds(owner: Holder) -> None:
    verdict = used(owner, 2, NOON)
    with Transaction() as begun:
        books = begun.read(ledger.opened([(owner.customer.pk, owner.row.pk)]))
        begun.rollback()
    assert books.accounts == {owner.customer.pk: verdict.account}
    assert verdict.account.test_tat == NOON + timedelta(milliseconds=50)


def test_hours_hold_calls_units_and_errors(owner: Holder, stranger: Holder) -> None:
    enter([asked(owner, 2), asked(owner, 0), asked(stranger, 1)], NOON)
    enter([asked(owner, 5)], NOON)
    enter([asked(owner, 1)], NOON + timedelta(hours=1))
    rows = UsageHour.objects.filter(customer=owner.customer).order_by("hour", "release")
    assert list(rows.values_list("hour", "release", "calls", "units", "errors")) == [
        (HOUR, "", 1, 0, 1),
        (HOUR, "softmax-1", 2, 7, 0),
        (HOUR + timedelta(hours=1), "softmax-1", 1, 1, 0),
    ]


def test_each_key_has_hours_of_its_own(owner: Holder, holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    enter([asked(owner, 2), asked(live, 3)], NOON)
    hours = UsageHour.objects.values_list("key", "units")
    assert set(hours) == {(owner.row.pk, 2), (live.row.pk, 3)}


def test_a_revoked_key_in_a_batch_hurts_only_itself(owner: Holder, stranger: Holder) -> None:
    owner.row.revoke()
    dead, alive = enter([asked(owner, 2), asked(stranger, 3)])
    assert dead.refusal
    assert alive.refusal is None
    assert Account.objects.get(customer=owner.customer).test_units == 0
    assert Account.objects.get(customer=stranger.customer).test_units == 3


def test_the_last_use_of_a_key_is_noted_to_the_minute(owner: Holder) -> None:
    for seconds in (0, 60, 61):
        used(owner, 1, NOON + timedelta(seconds=seconds))
        noted = APIKey.objects.get(pk=owner.row.pk).last_used_at
        assert noted == NOON + timedelta(seconds=61 if seconds == 61 else 0)


def test_the_books_go_by_the_clock_of_the_database(owner: Holder) -> None:
    verdict = used(owner, 1)
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    assert timedelta(0) < now - verdict.at < timedelta(seconds=10)


def test_the_time_is_told_behind_the_lock_and_not_when_the_transaction_began(
    owner: Holder,
) -> None:
    """The test is one transaction, in which now() stands still."""
    assert used(owner, 1).at < used(owner, 1).at


@pytest.mark.parametrize("size", [1, 20])
def test_a_charge_takes_two_statements_however_many_calls(
    owner: Holder, size: int, django_assert_num_queries: Any
) -> None:
    used(owner, 1)  # opens the account, notes the last use
    with django_assert_num_queries(2):
        enter([asked(owner)] * size)


def test_the_database_refuses_hours_that_make_no_sense(owner: Holder) -> None:
    with pytest.raises(IntegrityError, match="usagehour_errors_are_calls"), transaction.atomic():
        UsageHour.objects.create(
            customer=owner.customer, key=owner.row, hour=NOON, calls=1, units=0, errors=2
        )


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"live_units": -1}, "account_units_are_not_negative"),
        ({"test_units": -1}, "account_units_are_not_negative"),
        ({"spend_limit_cents": -1}, "account_spend_limit_is_not_negative"),
        ({"plan": "sandbox"}, "account_plan_is_known"),
        ({"status": "gone"}, "account_status_is_known"),
    ],
)
def test_the_database_refuses_an_account_that_makes_no_sense(
    change: dict[str, object], constraint: str, owner: Holder
) -> None:
    Account.objects.of(owner.customer)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Account.objects.update(**change)


def test_notices_are_kept_with_the_charge_that_made_them(holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    for units, later in [(499, 0), (1, 1), (1, 2), (299, 3), (200, 4)]:
        used(live, units, NOON + timedelta(hours=later))
    notices = Notice.objects.order_by("pk")
    assert list(notices.values_list("period", "kind", "percent", "limit", "made_at")) == [
        (date(2026, 11, 1), "allowance", percent, 1_000, NOON + timedelta(hours=later))
        for percent, later in [(50, 1), (80, 3), (100, 4)]
    ]
    assert {notice.account_id for notice in notices} == {live.customer.pk}
    assert {notice.sent_at for notice in notices} == {None}


def test_a_notice_is_made_again_for_another_limit_but_not_for_the_same(holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    account = Account.objects.of(live.customer)
    account.change(plan=PAYG.name, spend_limit_cents=100)
    used(live, 3_000, NOON)  # 1,000 are free, 2,000 cost half a mill each: the whole dollar
    account.change(spend_limit_cents=200)
    used(live, 1_200, NOON)
    account.change(spend_limit_cents=160)
    enter([asked(live, 1_000)], NOON)
    account.change(spend_limit_cents=200)
    account.change(spend_limit_cents=160)
    enter([asked(live, 1_000)], NOON)
    spend = Notice.objects.filter(kind="spend").order_by("pk")
    assert list(spend.values_list("percent", "limit")) == [
        (50, 100),
        (80, 100),
        (100, 100),
        (80, 200),
        (100, 160),
    ]


def test_a_change_of_plan_keeps_what_a_charge_has_counted(holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    account = Account.objects.of(live.customer)
    used(live, 7)
    account.change(plan=PAYG.name)
    assert (account.plan, account.live_units) == (PAYG.name, 7)
    assert Account.objects.get().live_units == 7


@pytest.mark.django_db(transaction=True)
def test_a_revocation_waits_for_the_charge_that_came_before(owner: Holder) -> None:
    with transaction.atomic():
        used(owner, 1)
        revocation = in_a_thread(owner.row.revoke)
        assert still_waits(revocation)
    revocation.result(timeout=10)


@pytest.mark.django_db(transaction=True)
def test_a_charge_that_waited_for_a_revocation_sees_it(owner: Holder) -> None:
    used(owner, 1)
    with transaction.atomic():
        owner.row.revoke()
        waiting = in_a_thread(partial(enter, [asked(owner)]))
        assert still_waits(waiting)
    (verdict,) = waiting.result(timeout=10)
    assert verdict.refusal.type.code == "revoked_key"


@pytest.mark.django_db(transaction=True)
def test_a_charge_waits_for_that_of_another_key_and_is_decided_on_what_it_left(
    owner: Holder, holder: Any
) -> None:
    another_key = holder("owner@example.com")
    used(owner, 1)
    with transaction.atomic():
        first = used(owner, 2)
        waiting = in_a_thread(partial(enter, [asked(another_key, 4)]))
        assert still_waits(waiting)
    (second,) = waiting.result(timeout=10)
    assert second.account.test_units == 7
    assert second.at - first.at > timedelta(seconds=0.4)  # its time was told behind the wait


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [{"status": Account.Status.SUSPENDED}, {"plan": PAYG.name}])
def test_a_change_of_the_account_waits_for_the_charge_that_came_before(
    change: dict[str, str], holder: Any
) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    used(live, 1)
    account = Account.objects.get()
    with transaction.atomic():
        used(live, 499)
        changing = in_a_thread(lambda: account.change(**change))
        assert still_waits(changing)
    changing.result(timeout=10)
    assert Account.objects.filter(live_units=500, allowance_told=50, **change).exists()


@pytest.mark.django_db(transaction=True)
def test_a_charge_does_not_wait_for_the_page_of_the_keys(owner: Holder) -> None:
    """The first charge of an hour writes a row that refers to the customer whom the page locked."""
    with transaction.atomic():
        locked(owner.customer)
        counted = in_a_thread(partial(enter, [asked(owner)]))
        (verdict,) = counted.result(timeout=5)
    assert verdict.units == 1


@pytest.mark.django_db(transaction=True)
def test_no_unit_is_lost_between_concurrent_charges(owner: Holder, stranger: Holder) -> None:
    batches = [[asked(owner), asked(stranger)], [asked(stranger), asked(owner)]]
    work = [in_a_thread(partial(enter, batches[n % 2])) for n in range(40)]
    for future in work:
        future.result(timeout=30)
    assert set(Account.objects.values_list("test_units", flat=True)) == {40}
    assert set(UsageHour.objects.values_list("calls", "units", "errors")) == {(40, 40, 0)}


@pytest.mark.django_db(transaction=True)
def test_an_allowance_is_used_up_to_the_unit_by_concurrent_charges(holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    used(live, FREE.allowance - 10, NOON)
    work = [in_a_thread(partial(enter, [asked(live)], NOON)) for n in range(40)]
    verdicts = [verdict for future in work for verdict in future.result(timeout=30)]
    assert sum(verdict.units for verdict in verdicts) == 10
    assert sorted(verdict.account.live_units for verdict in verdicts if verdict.units) == list(
        range(FREE.allowance - 9, FREE.allowance + 1)
    )
    assert Account.objects.get().live_units == FREE.allowance
