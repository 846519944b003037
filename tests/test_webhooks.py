"""Webhooks, posted with real signatures to the real address, and the poll of Stripe's events."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client

from billing import stripe_gateway, webhooks
from billing.models import Account, Invoice, Notice, StripeEvent, WorkerPass
from tests.at_stripe import (
    DECEMBER,
    SECRETS,
    Till,
    account_of,
    open_till,
    post,
    send,
    send_all,
    signed,
)
from tests.conftest import Holder
from tests.exposition import samples_of, value
from tests.local_stripe import advance, control

EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "invoice.paid",
    "created": 1_790_000_000,
    "livemode": False,
    "api_version": stripe_gateway.API_VERSION,
    "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_of_somebody"}},
}
THIN: dict[str, Any] = {
    "id": "evt_test_1",
    "object": "v2.core.event",
    "type": "v1.billing.meter.error_report_triggered",
    "created": "2026-11-23T10:30:00.000Z",
    "livemode": False,
    "related_object": {"id": "mtr_1", "type": "billing.meter", "url": "/v1/billing/meters/mtr_1"},
}


@pytest.fixture
def till(settings: Any, db: None) -> Iterator[Till]:
    with open_till(settings) as till:
        yield till


@pytest.fixture
def secrets(settings: Any, db: None) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = SECRETS


def posted(event: object, secret: str = SECRETS[0], moment: int | None = None) -> int:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return int(post(body, signed(body, secret, moment)).status_code)


@pytest.mark.parametrize("secret", SECRETS)
def test_both_secrets_are_good_while_one_is_being_changed(secrets: None, secret: str) -> None:
    assert posted(EVENT, secret) == 204


def test_a_signature_of_another_is_refused(secrets: None) -> None:
    assert posted(EVENT, "whsec_of_another") == 400
    body = json.dumps(EVENT).encode()
    for signature in ("", "nonsense", "t=x,v1=y", signed(body).partition(",")[0]):
        assert post(body, signature).status_code == 400
    assert post(body + b" ", signed(body)).status_code == 400
    assert not StripeEvent.objects.exists()


def test_without_a_secret_everything_is_refused(settings: Any, db: None) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = []
    assert posted(EVENT) == 400
    settings.STRIPE_WEBHOOK_SECRETS = [""]
    assert posted(EVENT, "") == 400


@pytest.mark.parametrize(("age", "status"), [(290, 204), (310, 400), (-290, 204), (-310, 400)])
def test_a_signature_is_good_for_five_minutes_either_way(
    secrets: None, age: int, status: int
) -> None:
    assert posted(EVENT, moment=int(time.time()) - age) == status


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"\xff\xfe",
        b"{",
        b"null",
        b'"x"',
        b"{}",
        json.dumps({**EVENT, "data": None}).encode(),
        json.dumps({**EVENT, "created": "x"}).encode(),
        json.dumps({**EVENT, "object": "invoice"}).encode(),
        b"[" * 20_000,
    ],
)
def test_what_is_signed_and_no_event_is_refused(secrets: None, body: bytes) -> None:
    assert posted(body) == 400
    assert not StripeEvent.objects.exists()


def test_an_event_of_the_other_mode_is_refused(secrets: None) -> None:
    assert posted({**EVENT, "livemode": True}) == 400
    assert posted({**THIN, "livemode": True}) == 400


def test_an_event_of_another_version_is_refused(secrets: None) -> None:
    assert posted({**EVENT, "api_version": "2025-03-31.basil"}) == 400


def test_types_that_nobody_asked_for_are_accepted(secrets: None) -> None:
    assert posted({**EVENT, "type": "radar.early_fraud_warning.created"}) == 204
    assert not StripeEvent.objects.exists()


def test_webhooks_are_counted_by_what_came_of_them(
    secrets: None, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(event: stripe_gateway.Event) -> None:
        raise stripe_gateway.StripeUnavailable("away")

    def counted() -> list[float]:
        samples = samples_of(client.get("/metrics").content.decode())
        outcomes = ("accepted", "refused", "postponed")
        return [value(samples, "webhooks_total", outcome=outcome) for outcome in outcomes]

    before = counted()
    for type in stripe_gateway.METER_ERRORS:
        monkeypatch.setitem(webhooks.HANDLERS, type, away)
    assert posted({**EVENT, "type": "radar.early_fraud_warning.created"}) == 204
    assert [posted(EVENT, "whsec_of_another") for _ in range(2)] == [400, 400]
    assert [posted(THIN) for _ in range(3)] == [503, 503, 503]
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [1, 2, 3]


def test_one_that_fails_as_nobody_expected_is_counted_and_answered_by_a_problem(
    secrets: None, client: Client, monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    def fail(event: stripe_gateway.Event) -> Any:
        raise stripe_gateway.StripeRefused("No.")

    def failed() -> float:
        samples = samples_of(client.get("/metrics").content.decode())
        return value(samples, "webhooks_total", outcome="failed")

    before = failed()
    for type in stripe_gateway.METER_ERRORS:
        monkeypatch.setitem(webhooks.HANDLERS, type, fail)
    body = json.dumps(THIN).encode()
    answer = post(body, signed(body))
    assert answer.status_code == 500
    assert answer["Content-Type"] == "application/problem+json"
    assert failed() == before + 1


def test_thin_events_come_to_the_same_address(
    secrets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []

    def note(event: stripe_gateway.Event) -> Callable[[], None]:
        return lambda: noted.append(f"{event.type} {event.object_id}")

    for type in stripe_gateway.METER_ERRORS:
        monkeypatch.setitem(webhooks.HANDLERS, type, note)
    assert posted(THIN) == 204
    no_meter = {"type": "v1.billing.meter.no_meter_found", "related_object": None}
    assert posted({**THIN, "id": "evt_test_2", **no_meter}) == 204
    assert noted == [
        "v1.billing.meter.error_report_triggered mtr_1",
        "v1.billing.meter.no_meter_found ",
    ]


def test_events_of_objects_that_are_not_ours_ask_stripe_nothing(
    secrets: None, settings: Any, owner: Holder
) -> None:
    settings.STRIPE_API_BASE = "http://127.0.0.1:9"
    Account.objects.of(owner.customer)  # who has no customer at Stripe
    for type in webhooks.SNAPSHOT_TYPES:
        foreign = {**EVENT, "id": f"evt_{type}", "type": type}
        assert posted(foreign) == 204
        del foreign["data"]["object"]["customer"]
        assert posted({**foreign, "id": f"evt_nobody_{type}"}) == 204
        EVENT["data"]["object"]["customer"] = "cus_of_somebody"
    assert StripeEvent.objects.count() == 2 * len(webhooks.SNAPSHOT_TYPES)
    assert not Invoice.objects.exists()


def test_only_posts_are_taken_and_no_form_token_is_asked_for(secrets: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert strict.get("/webhooks/stripe").status_code == 405
    body = json.dumps(EVENT).encode()
    headers = {"Stripe-Signature": signed(body)}
    answer = strict.post("/webhooks/stripe", body, "application/json", headers=headers)
    assert answer.status_code == 204


def test_an_event_is_handled_once(
    secrets: None, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = []
    monkeypatch.setitem(webhooks.HANDLERS, "invoice.paid", lambda event: lambda: effects.append(1))
    for _ in range(3):
        assert posted(EVENT) == 204
    assert effects == [1]


@pytest.mark.django_db(transaction=True)
def test_an_event_that_comes_twice_at_once_is_handled_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STRIPE_WEBHOOK_SECRETS = SECRETS
    effects = []

    def effect() -> None:
        effects.append(1)
        time.sleep(0.2)

    monkeypatch.setitem(webhooks.HANDLERS, "invoice.paid", lambda event: effect)

    answers = []

    def deliver() -> None:
        answers.append(posted(EVENT))
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (effects, answers) == ([1], [204] * 4)


def test_an_event_whose_effect_fails_comes_again(
    secrets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError

    monkeypatch.setitem(webhooks.HANDLERS, "invoice.paid", lambda event: fail)
    assert posted(EVENT) == 500
    assert not StripeEvent.objects.exists()


def test_while_stripe_cannot_be_asked_its_events_are_postponed(
    till: Till, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    till.checkout(owner.customer)
    (event,) = (one for one in till.events() if one["type"] == "checkout.session.completed")
    control(till.local, "POST", "failures", {"kind": "error", "times": 3})
    assert posted(event) == 503
    assert not StripeEvent.objects.exists()
    send(event)
    assert account_of(owner.customer).plan == "payg"


def test_an_older_reading_does_not_overwrite_a_newer_one(till: Till, owner: Holder) -> None:
    failing_month(till, owner)
    (invoice,) = Invoice.objects.all()
    stale = webhooks.invoices.read(invoice.pk)
    stripe_gateway.v1().invoices.void_invoice(invoice.pk)
    webhooks.invoices.read(invoice.pk)()
    stale()
    invoice.refresh_from_db()
    assert invoice.status == "void"
    assert account_of(owner.customer).payment_due_since is None


def failing_month(till: Till, owner: Holder) -> None:
    """The owner's card is good for a check, and not for November's invoice."""
    till.checkout(owner.customer, "pm_card_chargeCustomerFail")
    send_all(till.events())
    till.use(owner.customer, 3_000)
    till.end_month()
    send_all(till.events())


def test_what_was_never_delivered_is_found_by_the_poll(till: Till, owner: Holder) -> None:
    control(till.local, "POST", "failures", {"kind": "webhooks_lost", "times": 1_000})
    till.checkout(owner.customer)
    call_command("bill")
    assert account_of(owner.customer).plan == "payg"
    till.use(owner.customer, 3_000)
    till.end_month()
    call_command("bill")
    assert Invoice.objects.get().status == "paid"
    entered = StripeEvent.objects.count()
    assert entered
    call_command("bill")
    assert StripeEvent.objects.count() == entered


@pytest.mark.parametrize("fault", [stripe_gateway.StripeRefused("No."), ValueError("unforeseen")])
def test_one_event_that_fails_does_not_keep_the_others(
    till: Till, owner: Holder, stranger: Holder, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    control(till.local, "POST", "failures", {"kind": "webhooks_lost", "times": 1_000})
    till.checkout(owner.customer)
    till.checkout(stranger.customer)
    subscribe, refused = webhooks.subscribing.subscribe, account_of(owner.customer)

    def fail(customer: str, *more: Any) -> None:
        if customer == refused.stripe_customer_id:
            raise fault
        subscribe(customer, *more)

    monkeypatch.setattr(webhooks.subscribing, "subscribe", fail)
    list(webhooks.receive_undelivered())
    assert account_of(stranger.customer).plan == "payg"
    monkeypatch.undo()
    list(webhooks.receive_undelivered())
    assert account_of(owner.customer).plan == "payg"


def test_events_that_could_not_be_handled_are_noted(
    till: Till, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    control(till.local, "POST", "failures", {"kind": "webhooks_lost", "times": 1_000})
    till.checkout(owner.customer)

    def refuse(customer: str, *more: Any) -> None:
        raise stripe_gateway.StripeRefused("No.")

    monkeypatch.setattr(webhooks.subscribing, "subscribe", refuse)
    call_command("bill")
    assert WorkerPass.objects.get().unhandled_events == 1
    control(till.local, "POST", "failures", {"kind": "error", "path": "/v1/events"})
    call_command("bill")
    assert WorkerPass.objects.get().unhandled_events == 1  # nobody knows better
    control(till.local, "DELETE", "failures")
    monkeypatch.undo()
    call_command("bill")
    assert WorkerPass.objects.get().unhandled_events == 0


def life(till: Till, owner: Holder) -> list[Callable[[], object]]:
    """What happens to a customer, from his first card to the end of his last month."""
    v1 = stripe_gateway.v1()

    def invoice() -> str:
        return str(
            stripe_gateway.list_invoices(account_of(owner.customer).stripe_customer_id)[0].id
        )

    def pay() -> None:
        till.press(stripe_gateway.retrieve_invoice(invoice()).hosted_url, do="pm_card_visa")

    def charge() -> str:
        intent = stripe_gateway.retrieve_invoice(invoice()).payment_intent
        return str(v1.charges.list({"payment_intent": intent}).data[0].id)

    def cancel() -> None:
        subscription = account_of(owner.customer).stripe_subscription_id
        v1.subscriptions.update(subscription, {"cancel_at_period_end": True})

    return [
        lambda: till.checkout(owner.customer, "pm_card_chargeCustomerFail"),
        lambda: send_all(till.events()),  # so that there is a subscription to go on with
        lambda: till.use(owner.customer, 9_000),
        lambda: till.end_month(),
        lambda: advance(till.local, 4 * 86_400),
        pay,
        lambda: v1.refunds.create({"charge": charge(), "amount": 30}),
        lambda: control(till.local, "POST", "disputes", {"charge": charge()}),
        cancel,
        lambda: till.end_month(DECEMBER + 32 * 86_400),
    ]


def standing(owner: Holder) -> dict[str, Any]:
    """All that the webhooks decide, without when they were read."""
    account = Account.objects.filter(customer=owner.customer).values(
        "plan", "status", "stripe_subscription_id", "subscription_ends_at", "payment_due_since"
    )
    rows = Invoice.objects.values()
    for row in rows:
        del row["read_at"]
    return {"account": list(account), "invoices": list(rows)}


def test_a_thousand_shuffled_and_doubled_webhooks_end_as_the_ordered_ones(
    till: Till, owner: Holder
) -> None:
    """They come while the life goes on, in any order, some never; at its end all have come."""
    chance = random.Random(4)
    sent = 0
    for step in life(till, owner):
        step()
        happened = till.events()
        for event in chance.choices(happened, k=40):
            send(event)
            sent += 1
    happened = till.events()
    rest = happened * (1 + (1_000 - sent) // len(happened))
    chance.shuffle(rest)
    send_all(rest)
    shuffled = standing(owner)
    assert sent + len(rest) >= 1_000

    StripeEvent.objects.all().delete()
    Notice.objects.all().delete()
    Invoice.objects.all().delete()
    fresh = {"plan": "free", "stripe_subscription_id": "", "subscription_ends_at": None}
    Account.objects.filter(customer=owner.customer).update(**fresh)
    send_all(happened)
    assert standing(owner) == shuffled
    (account,) = shuffled["account"]
    assert (account["plan"], account["status"]) == ("free", "active")
    november = min(shuffled["invoices"], key=lambda row: row["period_end"])
    assert (november["status"], november["refunded"], november["dispute"]) == (
        "paid",
        30,
        "needs_response",
    )


def test_no_webhook_leaves_a_secret_or_a_card_behind(till: Till, owner: Holder) -> None:
    failing_month(till, owner)
    with connection.cursor() as cursor:
        for table in ("billing_account", "billing_invoice", "billing_stripeevent"):
            cursor.execute(f"SELECT t::text FROM {table} AS t")
            text = str(cursor.fetchall())
            assert text != "[]"
            for secret in ("whsec_", "sk_test", "_secret_", "pm_", "4242", "seti_"):
                assert secret not in text
