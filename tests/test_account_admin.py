"""The operator's pages of accounts and of what customers were told."""

import csv
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import F
from django.test import Client
from django.utils import timezone

from billing.forms import AccountForm
from billing.models import Account, Notice
from tests.conftest import Holder

ACCOUNTS = "/admin/billing/account/"
NOTICES = "/admin/billing/notice/"
CUSTOMERS = "/admin/accounts/customer/"
PAGES = [ACCOUNTS, ACCOUNTS + "export/", NOTICES, NOTICES + "export/"]
MONTH = timezone.now().date().replace(day=1)
LAST_MONTH = (MONTH - timedelta(days=1)).replace(day=1)
BLANK = [0] * 784


def have(holder: Holder, **fields: Any) -> Account:
    """The holder's account, with these fields."""
    account = Account.objects.of(holder.customer)
    Account.objects.filter(pk=account.pk).update(**{"period": MONTH, **fields})
    account.refresh_from_db()
    return account


def made(holder: Holder, **fields: Any) -> Notice:
    values = {"period": MONTH, "kind": "allowance", "percent": 50, "limit": 1000, **fields}
    return Notice.objects.create(account=Account.objects.of(holder.customer), **values)


def shown(client: Client, query: str, path: str = ACCOUNTS) -> list[Any]:
    """The rows of the list."""
    response = client.get(f"{path}?{query}")
    assert response.status_code == 200
    return list(response.context["cl"].result_list)


def exported(client: Client, path: str) -> list[dict[str, str]]:
    response = client.get(path)
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(StringIO(text)))


def page_of(holder: Holder) -> str:
    return f"{ACCOUNTS}{holder.customer.pk}/change/"


def form_of(client: Client, holder: Holder) -> dict[str, str]:
    """The fields of the form, as a browser shows and would send them."""
    form = client.get(page_of(holder)).context["adminform"].form
    values = {field.name: str(field.value()) for field in form}
    return values | {f"initial-{name}": value for name, value in values.items()}


def changed(client: Client, holder: Holder, **fields: str) -> Any:
    return client.post(page_of(holder), form_of(client, holder) | fields)


# Who may look


@pytest.mark.parametrize("page", PAGES)
def test_an_operator_sees_every_page(admin: Client, owner: Holder, page: str) -> None:
    made(owner)
    assert admin.get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_staff_without_the_permission_is_refused(staff: Callable[..., Client], page: str) -> None:
    other = "view_notice" if page.startswith(ACCOUNTS) else "view_account"
    assert staff(other).get(page).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_staff_with_the_permission_sees_the_page(staff: Callable[..., Client], page: str) -> None:
    own = "view_account" if page.startswith(ACCOUNTS) else "view_notice"
    assert staff(own).get(page).status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_customer_is_refused(owner: Holder, page: str) -> None:
    client = Client()
    client.force_login(owner.customer.user)
    assert client.get(page, follow=True).status_code == 403


def test_who_may_only_look_at_accounts_changes_none(
    staff: Callable[..., Client], owner: Holder
) -> None:
    have(owner, spend_limit_cents=1234)
    client = staff("view_account")
    page = client.get(page_of(owner)).text
    assert "$12.34" in page
    assert "<select" not in page
    answer = client.post(page_of(owner), {"plan": "payg", "status": "active", "spend_limit": "9"})
    assert answer.status_code == 403
    assert Account.objects.get().plan == "free"


@pytest.mark.parametrize("page", [ACCOUNTS, NOTICES])
def test_nothing_of_this_can_be_added_in_the_admin(admin: Client, page: str) -> None:
    assert admin.get(page + "add/").status_code == 403
    assert admin.post(page + "add/", {}).status_code == 403


def test_nothing_of_this_can_be_deleted_in_the_admin(admin: Client, owner: Holder) -> None:
    notice = made(owner)
    for url in (f"{ACCOUNTS}{owner.customer.pk}/delete/", f"{NOTICES}{notice.pk}/delete/"):
        assert admin.post(url, {"post": "yes"}).status_code == 403
    assert (Account.objects.count(), Notice.objects.count()) == (1, 1)


def test_a_notice_cannot_be_changed_in_the_admin(admin: Client, owner: Holder) -> None:
    notice = made(owner)
    url = f"{NOTICES}{notice.pk}/change/"
    assert "50 %" in admin.get(url).text
    assert admin.post(url, {"percent": "80"}).status_code == 403
    notice.refresh_from_db()
    assert notice.percent == 50


# The list


def test_an_account_is_listed_with_plan_status_units_cost_and_limit(
    admin: Client, owner: Holder
) -> None:
    have(owner, plan="payg", live_units=3001, test_units=1_234, spend_limit_cents=123_456)
    page = admin.get(ACCOUNTS).text
    for text in (
        "owner@example.com", "Pay as you go", "Active", "3,001", "$1.0005", "1,234", "$1,234.56",
    ):  # fmt: skip
        assert text in page


def test_the_counts_of_last_month_are_not_those_of_this_one(admin: Client, owner: Holder) -> None:
    have(owner, plan="payg", period=LAST_MONTH, live_units=3001, test_units=4567)
    for page in (ACCOUNTS, page_of(owner)):
        text = admin.get(page).text
        assert "3,001" not in text
        assert "$1.0005" not in text
        assert "4,567" not in text


def test_accounts_are_found_by_email_plan_status_and_customer(
    admin: Client, owner: Holder, stranger: Holder
) -> None:
    mine, other = have(owner, plan="payg"), have(stranger, status="suspended")
    assert shown(admin, "") == [other, mine]
    assert shown(admin, "q=OWNER@") == [mine]
    assert shown(admin, "plan=payg") == [mine]
    assert shown(admin, "status=suspended") == [other]
    assert shown(admin, "plan=payg&status=suspended") == []
    assert shown(admin, "plan=%00") == []
    assert shown(admin, f"customer={owner.customer.pk}") == [mine]
    assert admin.get(ACCOUNTS + "?live_units__gt=1").status_code == 400


def test_the_export_holds_what_is_filtered(admin: Client, owner: Holder, stranger: Holder) -> None:
    have(owner, plan="payg", live_units=7, test_units=8, spend_limit_cents=9)
    have(stranger)
    assert exported(admin, ACCOUNTS + "export/?plan=payg") == [
        {
            "customer": "owner@example.com", "plan": "payg", "status": "active",
            "spend limit in cents": "9", "month": str(MONTH), "units": "7", "test units": "8",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("page", [ACCOUNTS, NOTICES])
def test_a_list_costs_as_many_queries_however_long_it_is(
    admin: Client, holder: Any, django_assert_num_queries: Any, page: str
) -> None:
    for number in range(6):
        made(holder(f"customer{number}@example.com"))
        with django_assert_num_queries(4):  # session, user, count, rows
            admin.get(page)


# Changing an account


@pytest.mark.parametrize(
    ("field", "text", "name", "value"),
    [
        ("plan", "volume", "plan", "volume"),
        ("status", "suspended", "status", "suspended"),
        ("spend_limit", "12.34", "spend_limit_cents", 1234),
        ("spend_limit", "0", "spend_limit_cents", 0),
    ],
)
def test_plan_status_and_spend_limit_are_changed(
    admin: Client, owner: Holder, stranger: Holder, field: str, text: str, name: str, value: Any
) -> None:
    before, other = have(owner, live_units=5, test_units=6), have(stranger)
    assert changed(admin, owner, **{field: text}).status_code == 302
    after = Account.objects.get(pk=before.pk)
    assert after.state == before.state._replace(**{name: value})
    assert Account.objects.get(pk=other.pk).state == other.state
    (entry,) = LogEntry.objects.all()
    assert entry.object_id == str(before.pk)
    assert len(entry.get_change_message().split(" and ")) == 1


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("plan", "sandbox"), ("plan", "gold"), ("status", "gone"), ("spend_limit", "-1"),
        ("spend_limit", "1.001"), ("spend_limit", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_not_saved(
    admin: Client, owner: Holder, field: str, text: str
) -> None:
    before = have(owner)
    answer = changed(admin, owner, **{field: text})
    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert Account.objects.get().state == before.state


@pytest.mark.parametrize("field", ["live_units", "test_units", "period", "allowance_told"])
def test_a_counter_cannot_be_sent_with_the_form(admin: Client, owner: Holder, field: str) -> None:
    before = have(owner, live_units=5)
    changed(admin, owner, **{field: "2026-01-01" if field == "period" else "99"})
    assert Account.objects.get().state == before.state


def test_calls_that_are_counted_meanwhile_stay_counted(
    admin: Client, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is read, then calls are counted on it, then the form is saved."""
    have(owner, live_units=5, test_units=6)
    validate = AccountForm.full_clean

    def meanwhile(form: AccountForm) -> None:
        Account.objects.update(live_units=F("live_units") + 10, test_units=F("test_units") + 20)
        validate(form)

    form = form_of(admin, owner) | {"status": "suspended"}
    monkeypatch.setattr(AccountForm, "full_clean", meanwhile)
    admin.post(page_of(owner), form)
    account = Account.objects.get()
    assert account.status == "suspended"
    assert (account.live_units, account.test_units) == (15, 26)


def test_what_others_changed_since_the_form_was_opened_stays_changed(
    admin: Client, owner: Holder
) -> None:
    account = have(owner)
    form = form_of(admin, owner) | {"status": "suspended"}
    page = admin.get(page_of(owner)).text
    assert all(f'name="initial-{name}"' in page for name in ("plan", "status", "spend_limit"))
    account.change(plan="payg", spend_limit_cents=777)
    admin.post(page_of(owner), form)
    account.refresh_from_db()
    assert (account.status, account.plan, account.spend_limit_cents) == ("suspended", "payg", 777)


def test_a_form_that_changes_nothing_writes_nothing(
    admin: Client, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    have(owner)
    written: list[object] = []
    monkeypatch.setattr(Account, "change", lambda self, **fields: written.append(fields))
    assert changed(admin, owner).status_code == 302
    assert written == []


def test_a_higher_limit_is_announced_anew(admin: Client, owner: Holder) -> None:
    have(owner, plan="payg", live_units=2000, spend_limit_cents=50, spend_told=100)
    changed(admin, owner, spend_limit="1.00")
    assert Account.objects.get().spend_told == 50


def test_a_customer_who_never_called_can_be_put_on_a_plan(admin: Client, owner: Holder) -> None:
    form = form_of(admin, owner)
    assert (form["plan"], form["status"], form["spend_limit"]) == ("free", "active", "50.00")
    assert not Account.objects.exists(), "a look opens no account"
    assert admin.post(page_of(owner), form | {"plan": "payg"}).status_code == 302
    assert Account.objects.get(pk=owner.customer.pk).plan == "payg"


@pytest.mark.parametrize("number", ["987654321", "x", "9" * 30])
def test_an_account_of_nobody_is_not_there(admin: Client, number: str) -> None:
    answer = admin.get(f"{ACCOUNTS}{number}/change/", follow=True)
    assert "doesn’t exist" in answer.text
    assert not Account.objects.exists()


def test_a_suspension_refuses_the_next_call_and_its_end_answers_it(
    admin: Client, owner: Holder, call: Any
) -> None:
    assert call(BLANK).status_code == 200
    changed(admin, owner, status="suspended")
    refused = call(BLANK)
    assert (refused.status_code, refused.json()["code"]) == (403, "account_suspended")
    changed(admin, owner, status="active")
    assert call(BLANK).status_code == 200


# What customers were told


def test_notices_are_listed_newest_first_and_filtered(
    admin: Client, owner: Holder, stranger: Holder
) -> None:
    first = made(owner)
    second = made(stranger, sent_at=timezone.now())
    third = made(owner, kind="spend", percent=80, limit=123_456)
    assert shown(admin, "", NOTICES) == [third, second, first]
    assert shown(admin, "sent=yes", NOTICES) == [second]
    assert shown(admin, "sent=no", NOTICES) == [third, first]
    assert shown(admin, f"customer={owner.customer.pk}", NOTICES) == [third, first]
    assert shown(admin, "customer=OWNER@example.com&sent=yes", NOTICES) == []
    assert shown(admin, "customer=nobody@example.com", NOTICES) == []
    page = admin.get(NOTICES).text
    for text in ("Free allowance", "1,000 units", "Spend limit", "$1,234.56", "80 %", "not yet"):
        assert text in page


def test_a_customer_is_listed_with_his_account_and_notices(admin: Client, owner: Holder) -> None:
    page = admin.get(CUSTOMERS).text
    assert f'"{page_of(owner)}"' in page
    assert f'"{NOTICES}?customer={owner.customer.pk}"' in page
