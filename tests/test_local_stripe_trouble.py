"""What goes wrong with Stripe, at the local one: failures on command, webhooks, bad requests."""

import http.client
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe as library

from tests.local_stripe import Shop, advance, at, control, open_shop, wait_until_busy
from tests.serving import free_port

DAY = 86_400
BAD_CARD = "pm_card_chargeCustomerFail"


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as shop:
        yield shop


def make(shop: Shop, key: str = "a-key", email: str = "owner@example.com") -> Any:
    return shop.client.v1.customers.create({"email": email}, {"idempotency_key": key})


def count(shop: Shop) -> int:
    return len(shop.client.v1.customers.list({"limit": 100}).data)


def test_a_key_gives_the_same_answer_for_a_day(shop: Shop) -> None:
    first = make(shop)
    again = make(shop)
    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(library.IdempotencyError) as refused:
        make(shop, email="other@example.com")
    assert refused.value.http_status == 400
    advance(shop.local, DAY - 60)
    assert make(shop).id == first.id
    advance(shop.local, 61)
    assert make(shop).id != first.id


def test_a_refused_request_may_use_its_key_again(shop: Shop) -> None:
    with pytest.raises(library.InvalidRequestError):
        shop.client.v1.products.create({}, {"idempotency_key": "a-key"})  # type: ignore[typeddict-item]
    named = shop.client.v1.products.create({"name": "x"}, {"idempotency_key": "a-key"})
    assert named.name == "x"


def test_a_declined_payment_is_answered_the_same_under_its_key(shop: Shop) -> None:
    customer = shop.customer(BAD_CARD)
    shop.subscribe(customer)
    shop.use(customer, 3_000)
    invoice = shop.billed(customer)
    for _ in range(2):
        with pytest.raises(library.CardError):
            shop.client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert shop.client.v1.invoices.retrieve(invoice.id).attempt_count == 2


def test_a_key_in_use_is_a_conflict(shop: Shop) -> None:
    control(shop.local, "POST", "failures", {"kind": "slow", "seconds": 0.5, "times": 1})
    first = threading.Thread(target=make, args=(shop,))
    first.start()
    wait_until_busy(shop)
    with pytest.raises(library.StripeError) as refused:
        make(shop)
    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    first.join()
    assert count(shop) == 1


def test_an_error_on_command_comes_before_anything_is_done(shop: Shop) -> None:
    control(shop.local, "POST", "failures", {"kind": "error", "method": "POST", "times": 1})
    with pytest.raises(library.APIError) as failed:
        make(shop)
    assert (failed.value.http_status, count(shop)) == (500, 0)
    make(shop)
    assert count(shop) == 1


def test_an_error_may_come_after_all_was_done(shop: Shop) -> None:
    control(shop.local, "POST", "failures", {"kind": "error_after", "times": 1})
    for _ in range(2):  # under its key the same again
        with pytest.raises(library.APIError) as failed:
            make(shop)
        assert failed.value.headers["Stripe-Should-Retry"] == "false"
    assert count(shop) == 1


def test_a_rate_limit_on_command(shop: Shop) -> None:
    control(shop.local, "POST", "failures", {"kind": "rate_limit", "path": "/v1/customers"})
    with pytest.raises(library.RateLimitError):
        make(shop)
    assert shop.client.v1.products.list().data
    control(shop.local, "DELETE", "failures")
    make(shop)


def test_an_answer_can_be_lost_after_all_was_done(shop: Shop) -> None:
    order = {"kind": "lost_answer", "path": "/v1/customers", "method": "POST", "times": 1}
    control(shop.local, "POST", "failures", order)
    with pytest.raises(library.APIConnectionError):
        make(shop)
    assert count(shop) == 1
    make(shop)
    assert count(shop) == 1


def test_a_slow_request_outlasts_the_patience_of_its_client(shop: Shop) -> None:
    order = {"kind": "slow", "path": "/v1/customers", "method": "POST", "seconds": 1, "times": 1}
    control(shop.local, "POST", "failures", order)
    hurried = library.StripeClient(
        "sk_test_x",
        base_addresses={"api": shop.local.url},
        http_client=library.RequestsClient(timeout=0.3),
    )
    with pytest.raises(library.APIConnectionError, match="communicating with Stripe"):
        hurried.v1.customers.create({"email": "owner@example.com"})
    deadline = time.monotonic() + 5
    while count(shop) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert count(shop) == 1


def test_an_outage_ends_by_the_clock_and_webhooks_come_after_it(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer)
    control(shop.local, "POST", "clock", {"to": at("2026-11-30 12:00")})
    before = len(shop.receiver.posts)
    control(shop.local, "POST", "failures", {"kind": "outage", "seconds": DAY})
    with pytest.raises(library.APIError) as failed:
        count(shop)
    assert failed.value.http_status == 503
    advance(shop.local, DAY - 60)
    with pytest.raises(library.APIError):
        count(shop)
    assert len(shop.receiver.posts) == before
    advance(shop.local, 60)
    assert count(shop) == 1
    assert "invoice.created" in shop.receiver.types()


def statuses(*given: int) -> Callable[[], int]:
    """These, one after the other, and then 200."""
    left = list(given)
    return lambda: left.pop(0) if left else 200


def test_a_webhook_is_tried_again_until_it_is_accepted(shop: Shop) -> None:
    advance(shop.local, 0)
    shop.receiver.posts.clear()
    shop.receiver.status = statuses(500, 302, 404)
    make(shop)
    advance(shop.local, 0)
    event = shop.client.v1.events.list({"type": "customer.created"}).data[0]
    assert (event.pending_webhooks, len(shop.receiver.posts)) == (1, 1)
    for seconds, posts in ((59, 1), (2, 2), (300, 3), (1_799, 4), (3 * DAY, 4)):
        advance(shop.local, seconds)
        assert len(shop.receiver.posts) == posts
    assert shop.client.v1.events.retrieve(event.id).pending_webhooks == 0
    assert {one["id"] for one in shop.receiver.events()} == {event.id}


def test_a_webhook_is_given_up_after_three_days(shop: Shop) -> None:
    advance(shop.local, 0)
    shop.receiver.posts.clear()
    shop.receiver.status = lambda: 500
    make(shop)
    advance(shop.local, 3 * DAY)
    posts = len(shop.receiver.posts)
    assert posts == 11
    advance(shop.local, 3 * DAY)
    assert len(shop.receiver.posts) == posts


def test_a_receiver_may_ask_the_api_before_it_answers(shop: Shop) -> None:
    seen = []

    def ask() -> int:
        seen.append(shop.client.v1.events.list({"limit": 1}).data[0].type)
        return 200

    shop.receiver.status = ask
    make(shop)
    advance(shop.local, 0)
    assert seen[-1] == "customer.created"


@pytest.mark.parametrize(
    ("order", "posts"), [("webhooks_doubled", 2), ("webhooks_lost", 0), ("webhooks_reordered", 1)]
)
def test_webhooks_are_doubled_or_lost_on_command(shop: Shop, order: str, posts: int) -> None:
    advance(shop.local, 0)
    shop.receiver.posts.clear()
    control(shop.local, "POST", "failures", {"kind": order, "times": 1})
    make(shop)
    advance(shop.local, 120)
    assert shop.receiver.types() == ["customer.created"] * posts
    missed = shop.client.v1.events.list({"delivery_success": False}).data
    assert [event.type for event in missed] == ["customer.created"] * (posts == 0)


def test_webhooks_are_reordered_on_command(shop: Shop) -> None:
    advance(shop.local, 0)
    shop.receiver.posts.clear()
    control(shop.local, "POST", "failures", {"kind": "webhooks_reordered", "seconds": 600})
    made = [make(shop, key=f"key-{n}").id for n in range(10)]
    advance(shop.local, 600)
    came = [event["data"]["object"]["id"] for event in shop.receiver.events()]
    assert came != made
    assert sorted(came) == sorted(made)


def test_an_endpoint_gets_what_it_asked_for_while_it_is_enabled(shop: Shop) -> None:
    hooks = shop.client.v1.webhook_endpoints
    only = hooks.update(hooks.list().data[0].id, {"enabled_events": ["product.created"]})
    advance(shop.local, 0)
    shop.receiver.posts.clear()
    make(shop)
    shop.client.v1.products.create({"name": "one"})
    advance(shop.local, 0)
    assert shop.receiver.types() == ["product.created"]
    assert hooks.update(only.id, {"disabled": True}).status == "disabled"
    shop.client.v1.products.create({"name": "two"})
    advance(shop.local, 0)
    assert shop.receiver.types() == ["product.created"]
    assert "secret" not in hooks.retrieve(only.id)
    assert control(shop.local, "GET", "secrets") == {only.id: shop.secret}
    assert hooks.delete(only.id).deleted
    assert hooks.list().data == []


def test_an_update_says_what_was_before(shop: Shop) -> None:
    customer = make(shop)
    shop.client.v1.customers.update(customer.id, {"name": "Owner", "email": "new@example.com"})
    event: Any = shop.client.v1.events.list({"type": "customer.updated"}).data[0]
    before = event.data.previous_attributes
    assert before.to_dict() == {"name": None, "email": "owner@example.com"}
    assert event.request.idempotency_key
    shop.client.v1.customers.update(customer.id, {"name": "Owner"})
    assert len(shop.client.v1.events.list({"type": "customer.updated"}).data) == 1


def test_events_are_listed_for_thirty_days(shop: Shop) -> None:
    start = shop.local.world.now()
    customer = make(shop)
    events = shop.client.v1.events
    advance(shop.local, 10 * DAY)
    shop.client.v1.customers.update(customer.id, {"name": "Owner"})
    both = events.list({"types": ["customer.created", "customer.updated"]}).data
    assert [event.type for event in both] == ["customer.updated", "customer.created"]
    recent = events.list({"type": "customer.*", "created": {"gt": start + DAY}}).data
    assert [event.type for event in recent] == ["customer.updated"]
    advance(shop.local, 20 * DAY + 60)
    left = events.list({"type": "customer.*"}).data
    assert [event.type for event in left] == ["customer.updated"]
    with pytest.raises(library.InvalidRequestError):
        events.retrieve(both[1].id)


def test_events_are_listed_of_twenty_types_at_once_and_no_more(shop: Shop) -> None:
    types = ["customer.created", *(f"invoice.{number}" for number in range(19))]
    make(shop)
    assert len(shop.client.v1.events.list({"types": types}).data) == 1
    with pytest.raises(library.InvalidRequestError) as refused:
        shop.client.v1.events.list({"types": [*types, "invoice.paid"]})
    assert refused.value.param == "types"


def test_lists_come_in_pages_the_newest_first(shop: Shop) -> None:
    made = [make(shop, key=f"key-{n}").id for n in range(25)]
    customers = shop.client.v1.customers
    first = customers.list()
    assert [one.id for one in first.data] == made[:14:-1]
    assert first.has_more
    assert [one.id for one in first.auto_paging_iter()] == made[::-1]
    back = customers.list({"limit": 3, "ending_before": made[10]})
    assert [one.id for one in back.data] == [made[13], made[12], made[11]]
    assert not customers.list({"limit": 25}).has_more
    assert customers.list({"email": "owner@example.com", "limit": 100}).data
    assert not customers.list({"email": "nobody@example.com"}).data
    bad: Any
    for bad in ({"limit": 101}, {"limit": 0}, {"starting_after": "cus_nobody"}):
        with pytest.raises(library.InvalidRequestError):
            customers.list(bad)


def test_fields_are_expanded_on_demand(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscribe(customer)
    subscriptions = shop.client.v1.subscriptions
    assert subscriptions.retrieve(subscription.id).customer == customer
    deep: Any = subscriptions.list(
        {"expand": ["data.customer.invoice_settings.default_payment_method"]}
    ).data[0]
    assert deep.customer.invoice_settings.default_payment_method.card.last4 == "4242"
    for path in ("status", "unheard_of", "customer.a.b.c.d"):
        expand: Any = {"expand": [path]}
        with pytest.raises(library.InvalidRequestError):
            subscriptions.retrieve(subscription.id, expand)


@pytest.mark.parametrize(
    ("method", "path", "params", "status"),
    [
        ("get", "/v1/balance", {}, 501),
        ("post", "/v1/customers", {"source": "tok_visa"}, 501),
        ("post", "/v1/customers", {"address": {"planet": "Mars"}}, 501),
        ("post", "/v1/customers", {"tax_exempt": "perhaps"}, 501),
        ("post", "/v1/products", {}, 400),
        ("post", "/v1/products", {"name": "x", "active": "perhaps"}, 400),
        ("get", "/v1/customers", {"limit": "many"}, 400),
        ("get", "/v1/customers/cus_nobody", {}, 404),
        ("post", "/v1/customers/cus_nobody", {}, 404),
        ("post", "/v1/billing_portal/sessions", {"customer": "cus_nobody"}, 400),
        ("get", "/v2/core/events/evt_none", {}, 404),
        ("post", "/v2/core/event_destinations", {"name": "x", "amazon_eventbridge": {}}, 501),
    ],
)
def test_what_is_unknown_is_said_loudly(
    shop: Shop,
    method: str,
    path: str,
    params: Any,
    status: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(library.StripeError) as refused:
        shop.client.raw_request(method, path, **params)
    assert refused.value.http_status == status
    assert ("The local Stripe does not know" in capfd.readouterr().err) == (status == 501)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer sk_live_x"}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Basic c2tfdGVzdF94Og=="}, 200),
        ({"Authorization": "Bearer sk_test_x"}, 200),
        ({"Authorization": "Bearer sk_test_x", "Stripe-Version": "2020-08-27"}, 501),
    ],
)
def test_who_asks_and_in_which_version(shop: Shop, headers: dict[str, str], status: int) -> None:
    connection = http.client.HTTPConnection(shop.local.url.removeprefix("http://"))
    connection.request("GET", "/v1/customers", headers=headers)
    answer = connection.getresponse()
    assert answer.status == status
    assert answer.headers["Request-Id"].startswith("req_")
    connection.close()


def test_there_are_no_other_pages(shop: Shop) -> None:
    for path in ("/", "/favicon.ico", "/checkout", "/checkout/cs_none", "/elsewhere/x"):
        assert shop.press(shop.local.url + path)[0] == 404


def test_it_runs_alone(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "sandbox.stripe", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--data", str(tmp_path / "stripe.sqlite3")],
        cwd=Path(__file__).resolve().parent.parent,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == f"The local Stripe listens at http://127.0.0.1:{port}\n"
        client = library.StripeClient(
            "sk_test_x", base_addresses={"api": f"http://127.0.0.1:{port}"}
        )
        assert client.v1.customers.create({"name": "Owner"}).name == "Owner"
        clock = f"http://127.0.0.1:{port}/_sandbox/clock"
        assert urllib.request.urlopen(clock).status == 200
    finally:
        process.terminate()
        assert process.wait(timeout=10) == 0
