"""The operator's pages of proofs, closings, pushes and what Stripe could not count."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.meter_models import Closing, MeterError, MeterPush, Proof
from billing.worker_models import ProofRun
from tests.conftest import Holder

AT = datetime(2026, 10, 3, 9, tzinfo=UTC)


@pytest.fixture
def operator(db: None, client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator@example.com", "x"))
    return client


@pytest.fixture
def rows(owner: Holder, stranger: Holder) -> None:
    for holder, differences in ((owner, ""), (stranger, "log / ledger: 13 / 12 units")):
        of: dict[str, Any] = {"customer": holder.customer, "period": AT.date().replace(day=1)}
        Proof.objects.create(
            **of, hour_units=12, rated_cents=2_526, differences=differences, proved_at=AT
        )
        Closing.objects.create(**of, invoice_id=f"in_{holder.customer.pk}", difference=differences)
        trouble = "too old" if differences else ""
        MeterPush.objects.create(customer=holder.customer, hour=AT, trouble=trouble, units=3)
    ProofRun.objects.create(night=AT.date(), ended_at=AT, differing=1)
    MeterError.objects.create(
        event_id="evt_1",
        type="v1.billing.meter.no_meter_found",
        errors=7,
        summary="7 × no_meter",
        since=AT,
        until=AT,
        hours=2,
    )


def page(operator: Client, path: str) -> str:
    answer = operator.get(f"/admin/billing/{path}")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("proof/", "log / ledger: 13 / 12 units"),
        ("proof/", "$25.26"),
        ("proofrun/", "night of 2026-10-03"),
        ("closing/", "in_"),
        ("meterpush/", "2026-10-03 09:00"),
        ("metererror/", "7 × no_meter"),
    ],
)
def test_each_list_shows_what_it_is_for(
    operator: Client, rows: None, path: str, shown: str
) -> None:
    assert shown in page(operator, path)


@pytest.mark.parametrize(
    ("path", "others"),
    [
        ("proof/?differs=yes", "proof/?differs=no"),
        ("closing/?differs=yes", "closing/?differs=no"),
        ("meterpush/?standing=refused", "meterpush/?customer=owner@example.com"),
    ],
)
def test_what_needs_a_look_is_one_click_away(
    operator: Client, rows: None, path: str, others: str
) -> None:
    wrong, right = page(operator, path), page(operator, others)
    assert wrong.count("stranger@example.com") > right.count("stranger@example.com") == 0
    assert "owner@example.com" in right


def test_they_can_be_taken_away_as_csv_and_not_be_changed(operator: Client, rows: None) -> None:
    answer: Any = operator.get("/admin/billing/proof/export/")
    text = b"".join(answer.streaming_content).decode()
    assert "stranger@example.com,2026-10-01" in text
    proof = Proof.objects.first()
    assert proof
    answer = operator.post(f"/admin/billing/proof/{proof.pk}/change/", {"hour_units": 1})
    assert answer.status_code == 403
    assert operator.get("/admin/billing/proof/add/").status_code == 403
