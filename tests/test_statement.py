"""A customer's calls of a month, as a file that sums up to the invoice."""

import csv
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.keys import Kind
from billing import rating, stripe_gateway
from billing.plans import PAYG
from billing.statement import priced
from tests.conftest import Holder
from tests.payers import (
    END,
    EVENING,
    HOUR,
    PERIOD,
    Payer,
    Shop,
    close_the_month,
    log_of_the_month,
    open_shop,
)

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/dashboard/billing/calls/{}.csv"
MONTH = f"{PERIOD:%Y-%m}"


@pytest.fixture
def shop(settings: Any) -> Iterator[Shop]:
    with log_of_the_month(), open_shop(settings) as shop:
        yield shop


@pytest.fixture
def payer(shop: Shop, holder: Callable[..., Holder]) -> Payer:
    return shop.payer(holder("owner@example.com", Kind.LIVE))


def downloaded(client: Client, payer: Payer, period: str = MONTH) -> list[dict[str, str]]:
    client.force_login(payer.holder.customer.user)
    answer: Any = client.get(ADDRESS.format(period))
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="calls-{period}.csv"'
    text = b"".join(answer.streaming_content).decode()
    return list(csv.DictReader(text.splitlines()))


def test_the_database_is_asked_for_some_rows_at_a_time(
    shop: Shop, payer: Payer, client: Client
) -> None:
    payer.calls(1)
    with CaptureQueriesContext(connection) as queries:
        assert len(downloaded(client, payer)) == 1
    assert any("NO SCROLL CURSOR WITHOUT HOLD" in one["sql"] for one in queries)


def test_every_call_of_the_month_is_there_and_they_sum_up_to_the_invoice(
    shop: Shop, payer: Payer, client: Client, holder: Callable[..., Holder]
) -> None:
    for units in (600, 0, 600, 301):
        payer.calls(units)
    payer.calls(4, END - HOUR)
    Payer(holder("owner@example.com"), payer.id).calls(5)
    Payer(holder("stranger@example.com", Kind.LIVE), "").calls(6)
    close_the_month(shop)
    rows = downloaded(client, payer)
    assert sorted(int(row["units"]) for row in rows) == [0, 4, 301, 600, 600]
    (invoice,) = stripe_gateway.list_invoices(payer.id)
    costs = sum(Decimal(row["cost in USD"]) for row in rows)
    assert costs == Decimal("0.2525")
    assert rating.cents(int(costs * rating.MICROS_PER_DOLLAR)) == invoice.total
    assert sum(line.quantity for line in stripe_gateway.list_lines(invoice.id)) == 1_505
    page = client.get("/dashboard/billing/").content.decode()
    assert f'href="{ADDRESS.format(f"{timezone.now():%Y-%m}")}"' in page
    (refused,) = [row for row in rows if row["units"] == "0"]
    assert (refused["status"], refused["problem"], refused["cost in USD"]) == (
        "400",
        "invalid_body",
        "0.00",
    )
    assert rows[0]["key"] == payer.holder.row.prefix
    assert rows[0]["at"].startswith(f"{EVENING:%Y-%m-%dT%H}:07")


def test_each_call_costs_what_its_units_cost_behind_the_others() -> None:
    calls: list[tuple[object, ...]] = [("a", 999), ("b", 2), ("c", 0), ("d", 10)]
    costs = [row[-1] for row in priced(iter(calls), PAYG.tiers)]
    assert costs == ["0.00", "0.0005", "0.00", "0.005"]


def test_a_month_without_calls_is_a_file_of_headings(payer: Payer, client: Client) -> None:
    assert downloaded(client, payer, "2026-01") == []


@pytest.mark.parametrize(
    "period",
    [
        "2026-13",
        "2026-1",
        "2026",
        "nonsense",
        "0000-01",
        "0001-01",
        "1970-01",
        "9999-12",
        "２０２６-11",
    ],
)
def test_what_is_no_month_of_ours_is_not_found(payer: Payer, client: Client, period: str) -> None:
    client.force_login(payer.holder.customer.user)
    assert client.get(ADDRESS.format(period)).status_code == 404


def test_nobody_else_has_it(client: Client, db: None) -> None:
    answer = client.get(ADDRESS.format(MONTH))
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")
