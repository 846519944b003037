"""The operator's pages of invoices and of Stripe's events."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.test import Client

from billing.models import Account, Invoice, StripeEvent
from tests.conftest import Holder

INVOICES = "/admin/billing/invoice/"
EVENTS = "/admin/billing/stripeevent/"
OCTOBER, NOVEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


def invoice_of(holder: Holder, id: str, end: datetime = NOVEMBER, **fields: Any) -> Invoice:
    values = {
        "number": f"N-{id}",
        "status": "paid",
        "period_start": (end - timedelta(days=1)).replace(day=1),
        "period_end": end,
        "total": 2_526,
        "amount_due": 2_526,
        "amount_paid": 2_526,
        "amount_remaining": 0,
        "created_at": end,
        **fields,
    }
    return Invoice.objects.create(pk=id, account=Account.objects.of(holder.customer), **values)


def event(id: str, at: datetime, type: str = "invoice.paid") -> StripeEvent:
    return StripeEvent.objects.create(pk=id, type=type, object_id=f"in_of_{id}", created_at=at)


def listed(client: Client, path: str) -> list[str]:
    """The ids of the rows of a list, in its order."""
    answer = client.get(path)
    assert answer.status_code == 200
    return [row.pk for row in answer.context["cl"].result_list]


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(answer.text.split())


@pytest.fixture
def invoices(owner: Holder, stranger: Holder) -> None:
    invoice_of(owner, "in_1")
    due = {"status": "open", "attempted": True, "amount_paid": 0, "amount_remaining": 2_526}
    invoice_of(stranger, "in_2", **due)
    invoice_of(owner, "in_3", DECEMBER, number="", status="draft", amount_paid=0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["in_3", "in_1", "in_2"]),
        ("?customer=owner@example.com", ["in_3", "in_1"]),
        ("?status=open", ["in_2"]),
        ("?month=2026-10", ["in_1", "in_2"]),
        ("?month=2026-11", ["in_3"]),
        ("?month=2026-12", []),
        ("?month=soon", []),
        ("?month=9999-12", []),
        ("?q=N-in_2", ["in_2"]),
        ("?q=in_3", ["in_3"]),
        ("?q=N-in", []),
        ("?o=1", ["in_3", "in_1", "in_2"]),
    ],
)
def test_invoices_are_found_by_customer_status_month_and_number(
    admin: Client, invoices: None, query: str, expected: list[str]
) -> None:
    assert listed(admin, INVOICES + query) == expected


def test_the_list_says_whose_how_much_and_what_became_of_it(admin: Client, invoices: None) -> None:
    shown = page(admin, INVOICES)
    for text in ("N-in_1", "stranger@example.com", "2026-10", "payment failed", "$25.26"):
        assert text in shown


def test_more_invoices_ask_for_no_more_queries(
    admin: Client, holder: Callable[..., Holder], django_assert_num_queries: Any
) -> None:
    for number in range(2):
        invoice_of(holder(f"customer{number}@example.com"), f"in_{number}")
        with django_assert_num_queries(4):  # the session, the operator, the count, the rows
            admin.get(INVOICES)


def test_an_invoice_leads_to_its_pages_at_stripe(
    admin: Client, owner: Holder, settings: Any
) -> None:
    pages = {"hosted_url": "https://invoice.stripe.com/i/1", "pdf_url": "https://pay.stripe.com/1"}
    invoice_of(owner, "in_1", payment_intent_id="pi_1", stripe_subscription_id="sub_1", **pages)
    settings.STRIPE_API_BASE = ""
    for livemode, mode in ((False, "/test"), (True, "")):
        settings.STRIPE_LIVEMODE = livemode
        shown = page(admin, f"{INVOICES}in_1/change/")
        for place in ("invoices/in_1", "subscriptions/sub_1", "payments/pi_1"):
            assert f'href="https://dashboard.stripe.com{mode}/{place}"' in shown
    assert [url for url in pages.values() if f'href="{url}"' not in page(admin, INVOICES)] == []
    assert f"/admin/billing/account/{owner.customer.pk}/change/" in shown


def test_a_local_stripe_has_no_dashboard_to_link_to(
    admin: Client, owner: Holder, settings: Any
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    invoice_of(owner, "in_1", payment_intent_id="pi_1")
    shown = page(admin, f"{INVOICES}in_1/change/")
    assert "pi_1" in shown
    assert "dashboard.stripe.com" not in shown


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["evt_3", "evt_2", "evt_1"]),
        ("?type=invoice.voided", ["evt_2"]),
        ("?day=2026-10-01", ["evt_1"]),
        ("?q=evt_2", ["evt_2"]),
        ("?q=evt", []),
    ],
)
def test_events_are_found_by_type_day_and_id(
    admin: Client, query: str, expected: list[str]
) -> None:
    event("evt_1", OCTOBER)
    event("evt_2", OCTOBER + timedelta(days=1), "invoice.voided")
    event("evt_3", NOVEMBER)
    assert listed(admin, EVENTS + query) == expected


def test_an_event_says_what_it_is_about_and_when_it_happened(admin: Client, settings: Any) -> None:
    settings.STRIPE_API_BASE = ""
    event("evt_1", OCTOBER)
    for shown in (page(admin, EVENTS), page(admin, f"{EVENTS}evt_1/change/")):
        for text in ("invoice.paid", "in_of_evt_1", "2026-10-01 00:00"):
            assert text in shown
    assert "https://dashboard.stripe.com/test/events/evt_1" in shown


def test_both_can_be_taken_away_and_not_be_changed(admin: Client, invoices: None) -> None:
    event("evt_1", OCTOBER)
    for path, id, column in ((INVOICES, "in_2", "invoice"), (EVENTS, "evt_1", "event")):
        answer: Any = admin.get(path + "export/")
        rows = list(csv.DictReader(StringIO(b"".join(answer.streaming_content).decode())))
        assert id in [row[column] for row in rows]
        assert admin.get(path + "add/").status_code == 403
        assert admin.post(f"{path}{id}/change/", {"status": "paid"}).status_code == 403
        assert admin.post(f"{path}{id}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(("path", "right"), [(INVOICES, "invoice"), (EVENTS, "stripeevent")])
def test_who_may_see_one_kind_does_not_see_the_other(
    staff: Callable[..., Client], path: str, right: str
) -> None:
    client = staff(f"view_{right}")
    other = EVENTS if path == INVOICES else INVOICES
    assert client.get(path).status_code == 200
    assert {client.get(other + end).status_code for end in ("", "export/")} == {403}


def test_an_account_shows_what_it_is_at_stripe(admin: Client, owner: Holder, settings: Any) -> None:
    settings.STRIPE_API_BASE = ""
    account = Account.objects.of(owner.customer)
    Account.objects.filter(pk=account.pk).update(stripe_customer_id="cus_1")
    shown = page(admin, f"/admin/billing/account/{account.pk}/change/")
    assert 'href="https://dashboard.stripe.com/test/customers/cus_1"' in shown
