import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.keys import Kind
from accounts.models import APIKey, Customer, User
from billing import long_lists
from billing.drawing import ceiling
from billing.export import cell
from billing.models import UsageHour
from billing.usage import Day, by_day
from mnistapi.uuid7 import floor
from predictions.admin import CallAdmin
from predictions.models import Call
from tests.books import asked, enter
from tests.conftest import PASSWORD, Holder

CALLS = "/admin/predictions/call/"
USAGE = "/admin/billing/usagehour/"
CHART = "/admin/billing/usagehour/chart/"
KEYS = "/admin/accounts/apikey/"
CUSTOMERS = "/admin/accounts/customer/"
USERS = "/admin/accounts/user/"
PAGES = [CALLS, CALLS + "export/", USAGE, USAGE + "export/", CHART, KEYS, CUSTOMERS, USERS]

TODAY = timezone.now().replace(hour=0, minute=0, second=1, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)


_numbers = iter(range(1, 1_000_000))


def made(holder: Holder, at: datetime = TODAY, problem: tuple[int, str] | None = None) -> Call:
    """A call as it is settled: counted by the books, and logged in the same transaction."""
    id = UUID(int=floor(at).int + next(_numbers))
    with transaction.atomic():
        (verdict,) = enter([asked(holder, 0 if problem else 1)], at)
        return Call.objects.create(
            id=id,
            at=verdict.at,
            customer=holder.customer,
            key=holder.row,
            release=verdict.release,
            units=verdict.units,
            status=problem[0] if problem else 200,
            problem=problem[1] if problem else "",
            latency_ms=3.25,
        )


@pytest.fixture
def month_before() -> None:
    """A partition for yesterday, should that be in another month."""
    from predictions import partitions

    with connection.cursor() as cursor:
        partitions.create(partitions.month(YESTERDAY.date()), 1, cursor.execute)


@pytest.fixture
def calls(owner: Holder, stranger: Holder, month_before: None) -> dict[str, Call]:
    """Four calls that differ in one thing each from the first."""
    return {
        "yesterday": made(owner, YESTERDAY),
        "today": made(owner),
        "refused": made(owner, problem=(422, "wrong_shape")),
        "stranger's": made(stranger),
    }


def shown(client: Client, query: str, path: str = CALLS) -> list[Any]:
    """The rows of the list."""
    response = client.get(f"{path}?{query}")
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def messages(client: Client, query: str) -> list[str]:
    return [str(message) for message in client.get(f"{CALLS}?{query}").context["messages"]]


def exported(client: Client, path: str) -> list[dict[str, str]]:
    response = client.get(path)
    assert response.status_code == 200
    assert response.streaming
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(response.streaming_content).decode()  # type: ignore[arg-type]
    return list(csv.DictReader(StringIO(text)))


# who may look


@pytest.mark.parametrize("page", PAGES)
def test_an_operator_sees_every_page(admin: Client, calls: dict[str, Call], page: str) -> None:
    assert admin.get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_staff_without_the_permission_is_refused(staff: Callable[..., Client], page: str) -> None:
    assert staff().get(page).status_code == 403


@pytest.mark.parametrize(
    ("page", "permission"),
    [
        (CALLS, "view_call"),
        (CALLS + "export/", "view_call"),
        (USAGE + "export/", "view_usagehour"),
        (CHART, "view_usagehour"),
        (KEYS, "view_apikey"),
        (CUSTOMERS, "view_customer"),
    ],
)
def test_staff_with_the_permission_sees_the_page(
    staff: Callable[..., Client], page: str, permission: str
) -> None:
    assert staff(permission).get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_customer_is_refused(owner: Holder, page: str) -> None:
    client = Client()
    client.force_login(owner.customer.user)
    assert client.get(page, follow=True).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_signed_in_is_sent_to_sign_in(db: None, page: str) -> None:
    response = Client().get(page)
    assert response.status_code == 302
    assert "/login/" in response["Location"]


def test_the_index_links_the_chart_for_those_who_may_see_it(
    admin: Client, staff: Callable[..., Client]
) -> None:
    assert CHART in admin.get("/admin/").text
    assert CHART not in staff("view_call").get("/admin/").text


# what may not be written


@pytest.mark.parametrize("change", ["{}/change/", "{}/delete/"])
def test_a_call_cannot_be_changed_in_the_admin(
    admin: Client, calls: dict[str, Call], change: str
) -> None:
    call = calls["today"]
    url = CALLS + change.format(call.pk)
    assert admin.post(url, {"units": 5, "post": "yes"}).status_code == 403
    assert Call.objects.get(pk=call.pk).units == 1


@pytest.mark.parametrize("page", [CALLS, USAGE, KEYS, CUSTOMERS])
def test_nothing_of_this_can_be_added_in_the_admin(admin: Client, page: str) -> None:
    assert admin.get(page + "add/").status_code == 403
    assert admin.post(page + "add/", {}).status_code == 403


def test_a_key_cannot_be_edited_or_deleted_in_the_admin(admin: Client, owner: Holder) -> None:
    url = f"{KEYS}{owner.row.pk}/"
    assert admin.post(url + "change/", {"name": "mine"}).status_code == 403
    assert admin.post(url + "delete/", {"post": "yes"}).status_code == 403
    owner.row.refresh_from_db()
    assert owner.row.name == "a key"


def test_nothing_of_a_call_is_lost_on_its_own_page(admin: Client, calls: dict[str, Call]) -> None:
    call = calls["refused"]
    text = admin.get(f"{CALLS}{call.pk}/change/").text
    for value in (call.pk, "owner@example.com", "422", "wrong_shape", "3.2 ms"):
        assert str(value) in text


# customers, keys and users


def test_a_customer_is_listed_with_his_active_keys_and_pages(
    admin: Client, owner: Holder, revoked: Holder
) -> None:
    (customer,) = shown(admin, "q=OWNER@", CUSTOMERS)
    assert customer.active_key_count == 1
    text = admin.get(CUSTOMERS + "?q=OWNER@").text
    for path in (KEYS, CALLS, USAGE, CHART):
        assert f"{path}?customer={owner.customer.pk}" in text


def test_a_customer_without_keys_has_none_active(admin: Client) -> None:
    Customer.objects.of(User.objects.create_user("new@example.com"))
    assert shown(admin, "q=new@", CUSTOMERS)[0].active_key_count == 0


def test_keys_are_found_by_kind_state_prefix_and_email(
    admin: Client, owner: Holder, revoked: Holder, holder: Callable[..., Holder]
) -> None:
    expired = holder("stranger@example.com", Kind.LIVE).row
    APIKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    assert shown(admin, "kind__exact=live", KEYS) == [expired]
    assert shown(admin, "state=active", KEYS) == [owner.row]
    assert shown(admin, "state=revoked", KEYS) == [revoked.row]
    assert shown(admin, "state=expired", KEYS) == [expired]
    assert shown(admin, f"q={owner.row.prefix}", KEYS) == [owner.row]
    assert shown(admin, "q=stranger", KEYS) == [expired]
    assert shown(admin, f"customer={owner.customer.pk}", KEYS) == [revoked.row, owner.row]


def test_the_digest_of_a_key_is_not_shown(admin: Client, owner: Holder) -> None:
    text = admin.get(f"{KEYS}{owner.row.pk}/change/").text
    assert owner.row.prefix in text
    assert "igest" not in text
    assert bytes(owner.row.digest).hex() not in text


def revoke(client: Client, *keys: APIKey, **more: str) -> Any:
    return client.post(
        KEYS, {"action": "revoke", "_selected_action": [key.pk for key in keys], **more}
    )


def test_a_key_is_revoked_once_it_is_confirmed(
    admin: Client, owner: Holder, stranger: Holder
) -> None:
    asked = revoke(admin, owner.row)
    assert str(owner.row) in asked.text
    owner.row.refresh_from_db()
    assert owner.row.state == "active"
    assert revoke(admin, owner.row, confirmed="yes").status_code == 302
    owner.row.refresh_from_db()
    stranger.row.refresh_from_db()
    assert (owner.row.state, stranger.row.state) == ("revoked", "active")
    assert LogEntry.objects.get().object_id == str(owner.row.pk)


def test_a_key_that_is_revoked_stays_revoked_since_then(admin: Client, revoked: Holder) -> None:
    revoked.row.refresh_from_db()
    revoke(admin, revoked.row, confirmed="yes")
    assert APIKey.objects.get(pk=revoked.row.pk).revoked_at == revoked.row.revoked_at


def test_who_may_only_look_at_keys_cannot_revoke(
    staff: Callable[..., Client], owner: Holder
) -> None:
    revoke(staff("view_apikey"), owner.row, confirmed="yes")
    owner.row.refresh_from_db()
    assert owner.row.state == "active"


def test_a_user_is_added_by_email_in_lower_case(admin: Client) -> None:
    password = "correct horse battery"
    data = {"email": "New@Example.com", "usable_password": "true"}
    admin.post(USERS + "add/", {**data, "password1": password, "password2": password})
    assert User.objects.get(email="new@example.com").check_password(password)
    again = admin.post(USERS + "add/", {**data, "password1": password, "password2": password})
    assert "already exists" in again.text


def test_a_user_is_changed_and_found_by_email(admin: Client, owner: Holder) -> None:
    assert shown(admin, "q=owner", USERS) == [owner.customer.user]
    url = f"{USERS}{owner.customer.user.pk}/change/"
    assert admin.get(url).status_code == 200
    assert admin.post(url, {"email": "owner@example.com", "first_name": "Ada"}).status_code == 302
    assert User.objects.get(email="owner@example.com").first_name == "Ada"


def test_who_locks_a_person_out_is_told_that_calls_go_on(admin: Client, owner: Holder) -> None:
    page = admin.get(f"{USERS}{owner.customer.user.pk}/change/").content.decode()
    assert "Calls with the keys go on, and are billed: suspend the account" in page


def test_an_address_that_an_operator_replaces_signs_nobody_in_any_more(
    admin: Client, owner: Holder, client: Client
) -> None:
    user = owner.customer.user
    user.set_password(PASSWORD)
    user.save(update_fields=["password"])
    admin.post(f"{USERS}{user.pk}/change/", {"email": "New@Example.com", "is_active": "on"})

    def signed_in(email: str) -> Any:
        return client.post(reverse("account_login"), {"login": email, "password": PASSWORD})

    assert signed_in("owner@example.com").status_code == 200
    assert signed_in("new@example.com")["Location"] == reverse("account_email_verification_sent")
    assert mail.outbox[-1].to == ["new@example.com"]


# the log


def test_calls_are_listed_newest_first(admin: Client, calls: dict[str, Call]) -> None:
    assert shown(admin, "") == list(reversed(calls.values()))


def test_calls_stay_newest_first_whatever_the_url_says(
    admin: Client, calls: dict[str, Call]
) -> None:
    assert shown(admin, "o=7.1") == list(reversed(calls.values()))


def queries_of_filters(owner: Holder) -> Iterator[tuple[str, list[str]]]:
    mine = ["refused", "today", "yesterday"]
    yield f"customer={owner.customer.pk}", mine
    yield "customer=OWNER@example.com", mine
    yield f"key={owner.row.pk}", mine
    yield f"key={owner.row}", mine
    yield f"key={owner.row.prefix}&day={TODAY:%Y-%m-%d}", ["refused", "today"]
    yield "release=softmax-1", ["stranger's", "today", "yesterday"]
    yield "release=none", ["refused"]
    yield "status=200", ["stranger's", "today", "yesterday"]
    yield "status=errors", ["refused"]
    yield "status=422", ["refused"]
    yield "status=503", []
    yield f"day={YESTERDAY:%Y-%m-%d}", ["yesterday"]
    yield f"day={YESTERDAY:%Y-%m-%d}&status=422", []


def test_each_filter_of_calls_leaves_what_it_says(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    for query, names in queries_of_filters(owner):
        assert shown(admin, query) == [calls[name] for name in names], query


@pytest.mark.parametrize("path", [CALLS, USAGE])
def test_a_filter_by_key_leaves_out_the_other_keys_of_its_customer(
    admin: Client, owner: Holder, holder: Callable[..., Holder], path: str
) -> None:
    made(owner)
    other = holder("owner@example.com")
    made(other)
    assert [row.key for row in shown(admin, f"key={owner.row}", path)] == [owner.row]
    (day,) = [day for day in admin.get(f"{CHART}?key={owner.row}").context["days"] if day.calls]
    assert day.calls == 1


@pytest.mark.parametrize(
    "query",
    [
        "customer=nobody@example.com", "customer=99999999999999999999999", "customer=%00",
        "key=mnist_test_zzzzzzzz", "day=2026-02-30", "day=9999-12-31", "day=0001-01-01",
        "release=softmax-9", "release=%00", "status=600", "status=%00",
    ],
)  # fmt: skip
def test_a_filter_by_what_does_not_exist_finds_none(
    admin: Client, calls: dict[str, Call], query: str
) -> None:
    assert shown(admin, query) == []


@pytest.mark.parametrize("query", ["customer=nobody@example.com", "key=nokey", "day=yesterday"])
def test_what_a_filter_cannot_find_is_said(admin: Client, query: str) -> None:
    assert query.partition("=")[2] in messages(admin, query)[0]


def test_a_field_without_a_filter_cannot_be_asked_for(admin: Client) -> None:
    assert admin.get(CALLS + "?latency_ms__gt=1").status_code == 400


def test_a_call_is_found_by_its_request_id(admin: Client, calls: dict[str, Call]) -> None:
    call = calls["today"]
    assert shown(admin, f"q={call.pk}") == [call]
    assert shown(admin, f"q=+{call.pk}+") == [call]


@pytest.mark.parametrize("text", ["0199", "zzz", "'", "0199" * 100])
def test_a_malformed_request_id_finds_none_and_says_so(
    admin: Client, calls: dict[str, Call], text: str
) -> None:
    assert shown(admin, f"q={text}") == []
    assert "is not a request id" in messages(admin, f"q={text}")[0]


def test_a_call_that_is_counted_in_the_next_month_is_found_by_key_and_release(
    admin: Client, owner: Holder, month_before: None
) -> None:
    before, after = TODAY - timedelta(seconds=1, milliseconds=1), TODAY
    call = made(owner, before)
    UsageHour.objects.update(hour=after.replace(second=0))
    assert shown(admin, f"key={owner.row}") == [call]
    assert shown(admin, "release=softmax-1") == [call]


def test_an_unknown_request_id_finds_none(admin: Client, calls: dict[str, Call]) -> None:
    assert shown(admin, f"q={UUID(int=7)}") == []


# the hours


def test_each_filter_of_usage_leaves_what_it_says(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    def found(query: str) -> list[tuple[str, int, int]]:
        return [(row.release, row.calls, row.errors) for row in shown(admin, query, USAGE)]

    assert sum(row.calls for row in shown(admin, "", USAGE)) == 4
    assert sorted(found(f"customer={owner.customer.pk}")) == [
        ("", 1, 1), ("softmax-1", 1, 0), ("softmax-1", 1, 0),
    ]  # fmt: skip
    assert len(found(f"key={owner.row.prefix}&day={TODAY:%Y-%m-%d}")) == 2
    assert found("release=none") == [("", 1, 1)]
    assert found(f"day={YESTERDAY:%Y-%m-%d}") == [("softmax-1", 1, 0)]


# exports


def test_the_export_of_calls_holds_exactly_what_is_filtered(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    for query, names in [("", list(reversed(calls))), *queries_of_filters(owner)]:
        rows = exported(admin, f"{CALLS}export/?{query}")
        assert [row["request id"] for row in rows] == [str(calls[name].pk) for name in names]


def test_the_export_of_calls_holds_every_column(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    (row,) = exported(admin, f"{CALLS}export/?status=422")
    assert row == {
        "at": f"{TODAY:%Y-%m-%dT%H:%M:%S}Z",
        "request id": str(calls["refused"].pk),
        "customer": "owner@example.com",
        "key": owner.row.prefix,
        "key name": "a key",
        "release": "",
        "units": "0",
        "status": "422",
        "problem": "wrong_shape",
        "latency ms": "3.25",
    }


def test_the_export_of_calls_goes_beyond_the_pages_of_the_list(
    admin: Client, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallAdmin, "list_per_page", 1)
    monkeypatch.setattr(long_lists, "PAGES_AT_MOST", 2)
    for _ in range(3):
        made(owner)
    assert len(exported(admin, CALLS + "export/")) == 3


def test_the_export_of_usage_holds_exactly_what_is_filtered(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    (row,) = exported(admin, f"{USAGE}export/?release=none")
    assert (row["customer"], row["calls"], row["units"], row["errors"]) == (
        "owner@example.com", "1", "0", "1",
    )  # fmt: skip
    assert len(exported(admin, USAGE + "export/")) == UsageHour.objects.count()


@pytest.mark.django_db(transaction=True)
def test_an_export_asks_the_database_for_some_rows_at_a_time(
    admin: Client, calls: dict[str, Call]
) -> None:
    # With hold, as outside a transaction, the server gathers all rows before it gives the first.
    with CaptureQueriesContext(connection) as queries:
        exported(admin, CALLS + "export/")
    assert any("NO SCROLL CURSOR WITHOUT HOLD" in one["sql"] for one in queries)


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t", "\r"])
def test_a_formula_in_a_name_is_defused(admin: Client, owner: Holder, lead: str) -> None:
    name = f"{lead}HYPERLINK(1)"
    APIKey.objects.filter(pk=owner.row.pk).update(name=name)
    User.objects.filter(pk=owner.customer.user.pk).update(email=f"{lead}x@example.com")
    made(owner)
    for path in (CALLS, USAGE):
        (row,) = exported(admin, path + "export/")
        assert row["key name"] == "'" + name
        assert row["customer"] == f"'{lead}x@example.com"


def test_a_number_is_no_formula() -> None:
    assert cell(-1) == "-1"


# the chart


def test_the_chart_shows_the_sums_of_the_hours(
    admin: Client, owner: Holder, stranger: Holder, calls: dict[str, Call]
) -> None:
    def drawn(query: str) -> list[tuple[int, int]]:
        days = admin.get(f"{CHART}?{query}").context["days"]
        assert [day.date for day in days][-2:] == [YESTERDAY.date(), TODAY.date()]
        assert all((day.calls, day.errors) == (0, 0) for day in days[:-2])
        return [(day.calls, day.errors) for day in days[-2:]]

    assert drawn("") == [(1, 0), (3, 1)]
    assert drawn(f"customer={owner.customer.pk}") == [(1, 0), (2, 1)]
    assert drawn(f"customer=owner@example.com&key={owner.row}") == [(1, 0), (2, 1)]
    assert drawn("customer=stranger@example.com") == [(0, 0), (1, 0)]
    assert drawn(f"key={stranger.row.prefix}") == [(0, 0), (1, 0)]
    assert drawn("release=softmax-1") == [(1, 0), (2, 0)]
    assert drawn("release=none") == [(0, 0), (1, 1)]


@pytest.mark.parametrize(("query", "days"), [("", 30), ("period=7", 7), ("period=90", 90)])
def test_the_chart_has_every_day_of_its_period(admin: Client, query: str, days: int) -> None:
    response = admin.get(f"{CHART}?{query}")
    assert len(response.context["days"]) == days
    assert response.text.count("<rect") == 2 * days
    assert response.text.count('<th scope="row">2') == days


@pytest.mark.parametrize(
    "query", ["period=8", "period=", "customer=nobody", "key=none", "release=x", "customer=%00"]
)
def test_a_chart_of_what_does_not_exist_says_so(admin: Client, query: str) -> None:
    response = admin.get(f"{CHART}?{query}")
    assert response.status_code == 200
    assert response.context["form"].errors
    assert response.context["days"] == []


def test_a_day_of_the_chart_ends_at_midnight_in_utc(owner: Holder) -> None:
    day = datetime(2026, 3, 1, tzinfo=UTC)
    for hour in (-1, 0, 23, 24):
        UsageHour.objects.create(
            customer=owner.customer, key=owner.row, release="r", calls=10, units=9, errors=1,
            hour=day + timedelta(hours=hour),
        )  # fmt: skip
    end = day.date() + timedelta(days=1)
    days = by_day(UsageHour.objects.all(), end - timedelta(days=3), end)
    dates = [day.date() - timedelta(days=earlier) for earlier in (2, 1, 0)]
    assert days == [Day(dates[0]), Day(dates[1], 10, 9, 1), Day(dates[2], 20, 18, 2)]
    assert days[2].percent == 10


def test_the_chart_draws_no_script_and_no_style(admin: Client, calls: dict[str, Call]) -> None:
    svg = admin.get(CHART).text.partition("<svg")[2].rpartition("</svg>")[0]
    assert "<script" not in svg
    assert "style" not in svg


@pytest.mark.parametrize(
    ("value", "top"), [(0, 2), (1, 2), (3, 4), (4, 4), (5, 10), (11, 20), (401, 1000)]
)
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert ceiling(value) == top


# quick on a long log


@pytest.mark.parametrize(("page", "queries"), [(CALLS, 5), (USAGE, 5), (CHART, 4), (CUSTOMERS, 4)])
def test_a_page_costs_as_many_queries_however_many_rows_it_has(
    admin: Client,
    holder: Callable[..., Holder],
    django_assert_num_queries: Any,
    page: str,
    queries: int,
) -> None:
    made(holder("first@example.com"))
    with django_assert_num_queries(queries):
        admin.get(page)
    for number in range(5):
        made(holder(f"customer{number}@example.com"), problem=(422, "wrong_shape"))
    with django_assert_num_queries(queries):
        admin.get(page)


def test_the_log_is_never_counted_whole_nor_sorted(
    admin: Client, owner: Holder, calls: dict[str, Call]
) -> None:
    with CaptureQueriesContext(connection) as queries:
        for query, _ in [("", []), ("p=1", []), ("_facets=True", []), *queries_of_filters(owner)]:
            shown(admin, query)
            exported(admin, f"{CALLS}export/?{query}")
    of_the_log = [one["sql"] for one in queries if "predictions_call" in one["sql"]]
    assert of_the_log
    for sql in of_the_log:
        assert "DISTINCT" not in sql
        assert "COUNT(" not in sql or "LIMIT 1100" in sql
        assert sql.rpartition("ORDER BY ")[2].startswith(
            ('"predictions_call"."id" DESC', "1 DESC", "2 DESC")
        )


def test_the_chart_and_usage_never_read_the_log(admin: Client, calls: dict[str, Call]) -> None:
    with CaptureQueriesContext(connection) as queries:
        admin.get(CHART)
        admin.get(USAGE)
        exported(admin, USAGE + "export/")
    assert not [one for one in queries if "predictions_call" in one["sql"]]


def test_a_day_is_sought_in_the_partition_of_its_month(admin: Client, owner: Holder) -> None:
    made(owner)
    with CaptureQueriesContext(connection) as queries:
        shown(admin, f"day={TODAY:%Y-%m-%d}")
    (sql,) = [
        one["sql"] for one in queries
        if "predictions_call" in one["sql"] and "COUNT(" not in one["sql"]
    ]  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + sql)
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert f"predictions_call_{TODAY:%Y_%m}" in plan
    assert f"predictions_call_{TODAY.replace(day=28) + timedelta(days=9):%Y_%m}" not in plan


def test_a_long_list_is_counted_some_pages_ahead(
    admin: Client, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CallAdmin, "list_per_page", 1)
    monkeypatch.setattr(long_lists, "PAGES_AHEAD", 1)
    monkeypatch.setattr(long_lists, "PAGES_AT_MOST", 3)
    for _ in range(4):
        made(owner)
    assert "2+ calls" in " ".join(admin.get(CALLS).text.split())
    assert "3+ calls" in " ".join(admin.get(CALLS + "?p=2").text.split())
    assert "3+ calls" in " ".join(admin.get(CALLS + "?p=3").text.split())
    assert admin.get(CALLS + "?p=4").headers["Location"].endswith("?e=1")


def test_a_short_list_is_counted_whole(admin: Client, calls: dict[str, Call]) -> None:
    assert "4 calls" in " ".join(admin.get(CALLS).text.split())
    assert "1 call <" in " ".join(admin.get(CALLS + "?status=422").text.split())


@pytest.mark.parametrize("page", ["0", "-5", "x", "99999999999999999999"])
def test_a_page_that_is_none_is_no_error(admin: Client, calls: dict[str, Call], page: str) -> None:
    assert admin.get(f"{CALLS}?p={page}", follow=True).status_code == 200
