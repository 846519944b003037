"""What a customer sees of his plan and limits: on pages, and with `GET /v1/account`."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.keys import Kind
from billing import standing
from billing.decision import next_month
from billing.models import LONG_AGO, Account
from billing.plans import FREE, PAYG, PLANS, SANDBOX, VOLUME
from billing.templatetags.plans import Step, percent_of, steps
from tests.conftest import Holder

MONTH = timezone.now().date().replace(day=1)
LAST_MONTH = (MONTH - timedelta(days=1)).replace(day=1)
NEXT_MONTH = next_month(MONTH)
BLANK = [0] * 784

Opened = Callable[..., Account]


@pytest.fixture
def opened(owner: Holder) -> Opened:
    """Opens the owner's account, with these fields."""

    def open_account(**fields: Any) -> Account:
        account = Account.objects.of(owner.customer)
        Account.objects.filter(pk=account.pk).update(**{"period": MONTH, **fields})
        account.refresh_from_db()
        return account

    return open_account


@pytest.fixture
def live(holder: Callable[..., Holder]) -> Holder:
    """The owner's live key."""
    return holder("owner@example.com", Kind.LIVE)


@pytest.fixture
def browser(client: Client, owner: Holder) -> Client:
    """A browser in which the owner is signed in."""
    client.force_login(owner.customer.user)
    return client


def text_of(client: Client, name: str = "billing") -> str:
    """The page with its white space made one."""
    answer = client.get(reverse(name))
    assert answer.status_code == 200
    return " ".join(answer.text.split())


def set_limit(client: Client, text: str, **more: Any) -> Any:
    return client.post(reverse("billing"), {"spend_limit": text}, **more)


# The page


def test_the_month_of_a_paying_customer_is_told_to_the_unit_and_the_cent(
    browser: Client, opened: Opened
) -> None:
    opened(plan="payg", live_units=3001, spend_limit_cents=5000)
    page = text_of(browser)
    assert "You are on the plan <strong>Pay as you go</strong>" in page
    assert f"{MONTH:%B %Y}, with live keys" in page
    for shown in (
        "3,001", "0 of 1,000 left", "$1.0005", "$48.9995 of $50.00 left",
        "100 calls a second, 1,000 at once",
    ):  # fmt: skip
        assert f"<dd>{shown}" in page
    assert f"The next month begins on {NEXT_MONTH.day} {NEXT_MONTH:%B %Y}" in page
    assert '<rect width="0.0"' in page
    assert '<rect width="98.0"' in page


def test_the_limits_of_the_free_plan_and_what_comes_behind_them_are_told(
    browser: Client, opened: Opened
) -> None:
    opened(live_units=400, test_units=19_000)
    page = text_of(browser)
    assert "You are on the plan <strong>Free</strong>" in page
    assert "<dd>600 of 1,000 left" in page
    assert '<rect width="60.0"' in page
    assert "1,000 units of it are left this month" in page
    assert "A call that asks for more units than are left is refused" in page
    assert "used up" not in page
    assert "is spent: it holds once you are on one with prices" in page
    assert "$50.00 left" not in page


@pytest.mark.parametrize(
    ("plan", "units", "limit", "day", "expected"),
    [
        ("payg", 5_000, 50_00, 11, 7_000_000),  # a third of November: 15,000 units
        ("payg", 5_000, 4_00, 11, 4_000_000),  # never more than the limit
        ("payg", 5_000, 1_00, 11, 2_000_000),  # nor less than it has cost already
        ("payg", 300, 50_00, 11, 0),  # 900 units are free
        ("free", 900, 50_00, 11, 0),
        ("payg", 5_000, 50_00, 1, 2_000_000),  # at its first instant a month tells nothing
    ],
)
def test_the_forecast_goes_on_as_the_month_went(
    plan: str, units: int, limit: int, day: int, expected: int
) -> None:
    account = Account(
        plan=plan, live_units=units, spend_limit_cents=limit, period=date(2026, 11, 1)
    )
    assert standing.forecast(account.state, datetime(2026, 11, day, tzinfo=UTC)) == expected


def test_the_forecast_is_shown_to_who_pays(browser: Client, opened: Opened) -> None:
    opened(plan="payg", live_units=2_000)
    assert "if the month goes on like this" in text_of(browser)
    opened(plan="free")
    assert "if the month goes on like this" not in text_of(browser)


def test_an_allowance_that_is_used_up_is_said(browser: Client, opened: Opened) -> None:
    opened(live_units=1000)
    page = text_of(browser)
    assert "The free allowance is used up." in page
    assert '#payment-required">402' in page


def test_a_spend_limit_that_is_reached_is_said(browser: Client, opened: Opened) -> None:
    opened(plan="payg", live_units=3000, spend_limit_cents=50)
    page = text_of(browser)
    assert "The spend limit is reached." in page
    assert "<dd>$0.00 of $0.50 left" in page
    assert '#spend-limit-reached">402' in page


def test_the_counts_of_last_month_are_not_those_of_this_one(
    browser: Client, opened: Opened
) -> None:
    opened(plan="payg", period=LAST_MONTH, live_units=5000, test_units=7)
    page = text_of(browser)
    assert f"{MONTH:%B %Y}, with live keys" in page
    assert "<dd>1,000 of 1,000 left" in page
    assert "<dd>$50.00 of $50.00 left" in page
    assert "20,000 units of it are left this month" in page


@pytest.mark.parametrize("status", ["active", "suspended"])
def test_a_suspension_is_said(browser: Client, opened: Opened, status: str) -> None:
    opened(status=status)
    assert ("Your account is suspended." in text_of(browser)) == (status == "suspended")


def test_a_look_opens_no_account(browser: Client, owner: Holder) -> None:
    for name in ("billing", "usage", "dashboard", "keys"):
        text_of(browser, name)
    assert "<dd>1,000 of 1,000 left" in text_of(browser)
    assert not Account.objects.exists()


def test_a_customer_sees_his_own_account(browser: Client, opened: Opened, stranger: Holder) -> None:
    opened(live_units=123)
    Account.objects.create(customer=stranger.customer, period=MONTH, live_units=456)
    page = text_of(browser)
    assert "<dd>123<" in page
    assert "456" not in page


@pytest.mark.parametrize("plan", [None, *PLANS])
def test_every_plan_is_shown_with_its_numbers_and_prices(
    browser: Client, opened: Opened, plan: str | None
) -> None:
    if plan:
        opened(plan=plan)
    page = text_of(browser)
    assert page.count("your plan</span>") == 1
    shown = [SANDBOX, FREE, PAYG, *([VOLUME] if plan == "volume" else [])]
    assert page.count("images a call") == len(shown)
    for one in shown:
        assert f"{one.allowance:,} units" in page
        assert f"{one.rate.per_second:,} calls a second, {one.rate.burst:,} at once" in page
        assert f"{one.max_images:,} images a call" in page
    for price in (
        "The first 1,000 units of a month are free",
        "$0.0005 a unit up to 100,000",
        "$0.0004 a unit up to 1,000,000",
        "$0.0003 a unit above that",
    ):
        assert price in page


def test_a_step_has_its_first_and_last_unit() -> None:
    assert steps(PAYG) == [
        Step(1_001, 100_000, 500),
        Step(100_001, 1_000_000, 400),
        Step(1_000_001, None, 300),
    ]
    assert steps(FREE) == []


def test_nothing_is_drawn_of_a_limit_of_nothing() -> None:
    assert (percent_of(0, 0), percent_of(1, 4)) == (0, 25)


@pytest.mark.parametrize("units", [0, 5_000_000])
def test_the_page_costs_as_many_queries_whatever_was_used(
    browser: Client, opened: Opened, django_assert_num_queries: Any, units: int
) -> None:
    opened(plan="payg", live_units=units)
    with django_assert_num_queries(4):  # session, user, customer, account
        browser.get(reverse("billing"))


# The spend limit


@pytest.mark.parametrize(
    ("text", "cents"),
    [("0", 0), ("0.01", 1), ("12.34", 1234), (" 5 ", 500), ("0.29", 29), ("100000", 10_000_000)],
)
def test_the_spend_limit_is_set_in_dollars(
    browser: Client, owner: Holder, stranger: Holder, text: str, cents: int
) -> None:
    Account.objects.of(stranger.customer)
    answer = set_limit(browser, text)
    assert (answer.status_code, answer["Location"]) == (302, reverse("billing"))
    limits = Account.objects.order_by("pk").values_list("spend_limit_cents", flat=True)
    assert list(limits) == [cents, 5000]
    page = text_of(browser)
    assert f"Your spend limit is ${cents / 100:,.2f} a month now." in page
    assert f'value="{cents / 100:.2f}"' in page


@pytest.mark.parametrize(
    "text", ["", "-1", "-0.01", "1.234", "100000.01", "1e9", "1e-3", "NaN", "Infinity", "fifty"]
)
def test_what_is_no_spend_limit_is_refused_and_shown_again(
    browser: Client, opened: Opened, text: str
) -> None:
    account = opened(spend_limit_cents=777)
    answer = set_limit(browser, text)
    assert answer.status_code == 422
    assert 'class="errorlist"' in answer.text
    account.refresh_from_db()
    assert account.spend_limit_cents == 777


def test_setting_the_limit_leaves_the_counters_alone(browser: Client, opened: Opened) -> None:
    soon = datetime(2040, 1, 1, tzinfo=UTC)
    before = opened(plan="payg", live_units=7, test_units=8, live_tat=soon, spend_limit_cents=1)
    set_limit(browser, "9.99")
    after = Account.objects.get()
    assert after.spend_limit_cents == 999
    assert after.state == before.state._replace(spend_limit_cents=999)


def test_a_new_limit_holds_from_the_next_call_on(
    browser: Client, opened: Opened, live: Holder, call: Any
) -> None:
    opened(plan="payg", live_units=1000)
    set_limit(browser, "0")
    refused = call(BLANK, key=live.key)
    assert (refused.status_code, refused.json()["code"]) == (402, "spend_limit_reached")
    set_limit(browser, "0.01")
    answer = call(BLANK, key=live.key)
    assert answer.status_code == 200
    assert answer.json()["usage"]["spend_limit_remaining"] == "0.0095"


def test_nobody_sets_a_limit_without_signing_in(client: Client, opened: Opened) -> None:
    opened()
    assert set_limit(client, "1")["Location"].startswith(reverse("account_login"))
    assert Account.objects.get().spend_limit_cents == 5000


def test_a_limit_needs_the_token_of_the_form(owner: Holder) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner.customer.user)
    assert set_limit(strict, "1").status_code == 403
    assert not Account.objects.exists()


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_the_page_takes_no_other_method(browser: Client, method: str) -> None:
    assert getattr(browser, method)(reverse("billing")).status_code == 405


# Other pages


@pytest.mark.django_db
def test_the_front_page_has_prices_and_promises(client: Client) -> None:
    page = text_of(client, "landing")
    assert "100,000 units in a month cost $49.50 together" in page
    assert "$0.0005 a unit up to 100,000" in page
    assert "your plan" not in page
    for promise in ("A cap is a cap", "A retry is free"):
        assert f"<dt>{promise}</dt>" in page


@pytest.mark.parametrize("name", ["dashboard", "keys", "usage"])
def test_other_pages_lead_to_billing(browser: Client, name: str) -> None:
    main = text_of(browser, name).partition("<main")[2]
    assert f'href="{reverse("billing")}"' in main


@pytest.mark.parametrize("name", ["keys", "usage"])
def test_pages_say_what_test_keys_have(browser: Client, name: str) -> None:
    assert f"{SANDBOX.allowance:,}" in text_of(browser, name)


# The API


def account(client: Client, holder: Holder) -> Any:
    answer = client.get("/v1/account", headers={"Authorization": f"Bearer {holder.key}"})
    assert answer.status_code == 200
    return answer.json()


def limits(client: Client, holder: Holder) -> dict[str, Any]:
    """The account without what it says of the key."""
    told = account(client, holder)
    return {name: told[name] for name in told.keys() - {"email", "key", "livemode", "period"}}


def test_the_account_tells_a_live_key_of_its_plan(
    client: Client, opened: Opened, live: Holder
) -> None:
    opened(plan="payg", live_units=1500, test_units=9, spend_limit_cents=1234)
    assert limits(client, live) == {
        "plan": "payg",
        "status": "active",
        "allowance": 1000,
        "period_units": 1500,
        "remaining_free": 0,
        "cost": "0.25",
        "currency": "usd",
        "spend_limit": "12.34",
        "spend_limit_remaining": "12.09",
        "rate": {"per_second": 100, "burst": 1000},
    }


def test_the_account_tells_a_test_key_of_the_sandbox(
    client: Client, opened: Opened, owner: Holder
) -> None:
    opened(plan="payg", status="suspended", live_units=1500, test_units=9)
    assert limits(client, owner) == {
        "plan": "sandbox",
        "status": "suspended",
        "allowance": 20_000,
        "period_units": 9,
        "remaining_free": 19_991,
        "cost": "0.00",
        "currency": "usd",
        "spend_limit": None,
        "spend_limit_remaining": None,
        "rate": {"per_second": 20, "burst": 400},
    }


def test_a_plan_without_prices_has_no_spend_limit(
    client: Client, opened: Opened, live: Holder
) -> None:
    opened(live_units=1001)
    told = limits(client, live)
    assert (told["spend_limit"], told["spend_limit_remaining"]) == (None, None)
    assert (told["plan"], told["remaining_free"], told["cost"]) == ("free", 0, "0.00")


def test_nothing_is_left_of_a_limit_below_the_cost(
    client: Client, opened: Opened, live: Holder
) -> None:
    opened(plan="payg", live_units=3000, spend_limit_cents=50)
    assert limits(client, live)["spend_limit_remaining"] == "0.00"


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("kind", Kind)
def test_the_account_agrees_with_the_answer_to_a_call(
    client: Client, holder: Any, opened: Opened, call: Any, plan: str, kind: Kind
) -> None:
    opened(plan=plan, live_units=998, test_units=5)
    key = holder("owner@example.com", kind)
    usage = call([BLANK, BLANK], key=key.key).json()["usage"]
    told = account(client, key)
    shared = usage.keys() & told.keys() - {"cost"}
    assert shared >= {"period", "period_units", "remaining_free", "spend_limit_remaining"}
    assert {name: told[name] for name in shared} == {name: usage[name] for name in shared}


@pytest.fixture(scope="module")
def schema() -> Any:
    """What the OpenAPI document says of the account."""
    paths = Client().get("/openapi.json").json()["paths"]
    response = paths["/v1/account"]["get"]["responses"]["200"]
    return response["content"]["application/json"]["schema"]


@pytest.mark.parametrize("plan", [None, *PLANS])
@pytest.mark.parametrize("kind", Kind)
def test_the_account_is_as_documented(
    client: Client, holder: Any, opened: Opened, schema: Any, plan: str | None, kind: Kind
) -> None:
    key = holder("owner@example.com", kind)
    if plan:
        opened(plan=plan, live_units=2001)
    jsonschema.validate(account(client, key), schema)


def test_the_account_takes_two_queries(
    client: Client, opened: Opened, owner: Holder, django_assert_num_queries: Any
) -> None:
    opened()
    with django_assert_num_queries(2):  # the key, the account
        account(client, owner)


def test_asking_for_the_account_takes_nothing_of_the_rate(
    client: Client, opened: Opened, owner: Holder
) -> None:
    opened()
    account(client, owner)
    assert Account.objects.get().test_tat == LONG_AGO
