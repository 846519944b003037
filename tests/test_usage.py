from datetime import UTC, date, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.test import Client
from django.utils import timezone

from accounts.keys import Kind
from billing.models import Account
from billing.plans import FREE, PAYG, SANDBOX
from billing.views import MAX_DAYS
from tests.books import asked, enter, used
from tests.conftest import Holder
from tests.test_openapi import document

TODAY = timezone.now().date()
NOON = datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC)


def get(client: Client, path: str, holder: Holder) -> Any:
    return client.get(path, headers={"Authorization": f"Bearer {holder.key}"})


@pytest.fixture
def live(holder: Any) -> Holder:
    """The owner's live key."""
    made: Holder = holder("owner@example.com", Kind.LIVE)
    return made


def test_the_account_tells_who_asks_and_the_units_of_the_month(
    owner: Holder, live: Holder, client: Client
) -> None:
    used(owner, 3, NOON)
    used(live, 5, NOON)
    for holder, units, plan in ((owner, 3, SANDBOX), (live, 5, FREE)):
        answer = get(client, "/v1/account", holder)
        assert answer.json() == {
            "email": "owner@example.com",
            "livemode": holder is live,
            "key": {
                "name": "a key",
                "prefix": holder.row.prefix,
                "last_four": holder.key[-4:],
                "expires_at": None,
            },
            "plan": plan.name,
            "status": "active",
            "allowance": plan.allowance,
            "rate": {"per_second": plan.rate.per_second, "burst": plan.rate.burst},
            "cost": "0.00",
            "currency": "usd",
            "spend_limit": None,
            "period": f"{TODAY:%Y-%m}",
            "period_units": units,
            "remaining_free": plan.allowance - units,
            "spend_limit_remaining": None,
        }


def test_the_account_tells_what_the_month_has_cost_and_may_cost_still(
    live: Holder, client: Client
) -> None:
    Account.objects.of(live.customer).change(plan=PAYG.name, spend_limit_cents=1)
    used(live, 1_015, NOON)
    body = get(client, "/v1/account", live).json()
    assert (body["plan"], body["cost"], body["spend_limit"]) == ("payg", "0.0075", "0.01")
    assert (body["remaining_free"], body["spend_limit_remaining"]) == (0, "0.0025")
    Account.objects.get().change(spend_limit_cents=0)
    assert get(client, "/v1/account", live).json()["spend_limit_remaining"] == "0.00"


def test_the_units_of_last_month_are_not_those_of_this_one(owner: Holder, client: Client) -> None:
    used(owner, 3, NOON.replace(day=1) - timedelta(days=1))
    assert get(client, "/v1/account", owner).json()["period_units"] == 0


def test_a_customer_who_never_called_has_used_nothing(owner: Holder, client: Client) -> None:
    assert get(client, "/v1/account", owner).json()["period_units"] == 0
    assert get(client, "/v1/usage", owner).json()["calls"] == 0


def test_usage_is_told_by_day(owner: Holder, client: Client) -> None:
    used(owner, 7, NOON - timedelta(days=3))  # first, as a month never runs backwards
    used(owner, 2, NOON)
    used(owner, 1, NOON)
    enter([asked(owner, 0)], NOON)
    first, end = TODAY - timedelta(days=2), TODAY + timedelta(days=1)
    body = get(client, f"/v1/usage?from={first}&to={end}", owner).json()
    assert (body["calls"], body["units"], body["errors"]) == (3, 3, 1)
    assert [day["date"] for day in body["days"]] == [
        str(first + timedelta(days=later)) for later in range(3)
    ]
    assert body["days"][2] == {"date": str(TODAY), "calls": 3, "units": 3, "errors": 1}
    assert body["days"][0]["calls"] == 0


def test_without_a_period_it_is_the_month_so_far(owner: Holder, client: Client) -> None:
    body = get(client, "/v1/usage", owner).json()
    assert body["from"] == str(TODAY.replace(day=1))
    assert body["days"][-1]["date"] == str(TODAY)


def test_usage_is_that_of_the_owner_in_the_mode_of_his_key(
    owner: Holder, live: Holder, stranger: Holder, holder: Any, client: Client
) -> None:
    another_key = holder("owner@example.com")
    for one, units in ((owner, 1), (another_key, 10), (live, 100), (stranger, 1000)):
        used(one, units, NOON)
    assert get(client, "/v1/usage", owner).json()["units"] == 11
    assert get(client, "/v1/usage", live).json()["units"] == 100


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "to=2026-02-30",
        "from=2026-01-02&to=2026-01-02",
        "from=2026-01-02&to=2026-01-01",
        f"from=2020-01-01&to={date(2020, 1, 1) + timedelta(days=MAX_DAYS + 1)}",
        "from=9999-12-31",
    ],
)
def test_a_period_that_makes_no_sense_is_refused(query: str, owner: Holder, client: Client) -> None:
    answer = get(client, f"/v1/usage?{query}", owner)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_period")


@pytest.mark.parametrize("path", ["/v1/account", "/v1/usage"])
def test_without_a_key_nothing_is_told(path: str, db: None, client: Client) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")


@pytest.mark.parametrize("path", ["/v1/account", "/v1/usage"])
def test_answers_are_as_documented(path: str, owner: Holder, client: Client) -> None:
    used(owner, 2, NOON)
    answer = get(client, path, owner)
    assert "no-store" in answer["Cache-Control"]
    responses = document()["paths"][path]["get"]["responses"]
    jsonschema.validate(answer.json(), responses["200"]["content"]["application/json"]["schema"])


def test_the_page_shows_the_owner_s_numbers_and_nobody_else_s(
    owner: Holder, live: Holder, stranger: Holder, client: Client
) -> None:
    for one, units in ((owner, 20), (live, 3), (stranger, 456)):
        used(one, units, NOON)
    enter([asked(owner, 0)], NOON)
    client.force_login(owner.customer.user)
    page = client.get("/dashboard/usage/").content.decode()
    assert "3 with live keys" in page
    assert "20 with test keys" in page
    today = f'<tr><th scope="row"><time>{TODAY}</time></th><td>3</td><td>23</td><td>1</td></tr>'
    assert today in page
    assert "456" not in page


@pytest.mark.parametrize("days", [1, 300])
def test_the_cost_of_a_look_does_not_grow_with_the_calls(
    days: int, owner: Holder, client: Client, django_assert_num_queries: Any
) -> None:
    for day in reversed(range(days)):
        used(owner, 1, NOON - timedelta(days=day))
    with django_assert_num_queries(2):  # the key, the hours
        get(client, "/v1/usage", owner)
