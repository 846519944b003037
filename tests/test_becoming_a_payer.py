"""From the billing page to Stripe's and back: a card, a plan by webhook, the portal, the end."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounts.keys import Kind
from billing import stripe_gateway, subscribing
from billing.management.commands import bill
from billing.models import Account, StripeEvent
from tests.at_stripe import DECEMBER, NOVEMBER, NOW, Till, account_of, open_till, query_of, send_all
from tests.conftest import Holder
from tests.local_stripe import at, control, sell_support

GOING = threading.Event()


@pytest.fixture
def till(settings: Any, db: None) -> Iterator[Till]:
    with open_till(settings) as till:
        yield till


@pytest.fixture
def browser(client: Client, owner: Holder) -> Client:
    client.force_login(owner.customer.user)
    return client


def click(browser: Client, name: str) -> str:
    """The button of the billing page; gives where it leads."""
    page = browser.get("/dashboard/billing/").content.decode()
    assert f'action="/dashboard/billing/{name}/"' in page
    answer = browser.post(f"/dashboard/billing/{name}/")
    assert answer.status_code == 302
    return str(answer["Location"])


def text_of(browser: Client) -> str:
    return " ".join(browser.get("/dashboard/billing/").content.decode().split())


def subscribed(till: Till, owner: Holder) -> Account:
    till.checkout(owner.customer)
    send_all(till.events())
    return account_of(owner.customer)


def test_a_card_makes_a_payer_by_webhook_and_not_by_the_return_page(
    till: Till, browser: Client, owner: Holder, settings: Any
) -> None:
    url = click(browser, "card")
    status, back = till.press(url, do="pm_card_visa")
    assert (status, back) == (303, f"{settings.PUBLIC_URL}/dashboard/billing/?card=added")
    page = browser.get("/dashboard/billing/", query_of(back)).content.decode()
    assert "Your card was taken." in page
    assert account_of(owner.customer).plan == "free"

    send_all(till.events())
    account = account_of(owner.customer)
    assert (account.plan, account.is_subscribed) == ("payg", True)
    page = text_of(browser)
    assert "You are on the plan <strong>Pay as you go</strong>" in page
    assert "Add a card" not in page
    page = browser.get("/dashboard/billing/", query_of(back)).content.decode()
    assert "Your card was taken." not in page


def test_the_customer_at_stripe_has_our_id_the_card_and_the_month(
    till: Till, owner: Holder
) -> None:
    account = subscribed(till, owner)
    customer = stripe_gateway.v1().customers.retrieve(account.stripe_customer_id)
    assert customer.metadata["customer"] == str(owner.customer.pk)
    assert customer.email == "owner@example.com"
    assert customer.invoice_settings.default_payment_method
    (subscription,) = stripe_gateway.subscriptions_of(account.stripe_customer_id)
    assert (subscription.period_start, subscription.period_end) == (NOVEMBER, DECEMBER)
    price = stripe_gateway.find_price("predictions_monthly")
    assert price is not None
    assert stripe_gateway.count_subscriptions(price.id) == 1


def test_a_declined_card_changes_nothing(till: Till, browser: Client, owner: Holder) -> None:
    url = click(browser, "card")
    assert "Your card was declined." in till.press(url, do="decline")[1]
    send_all(till.events())
    assert account_of(owner.customer).plan == "free"
    assert "Add a card" in text_of(browser)


def test_two_clicks_make_one_customer(till: Till, browser: Client, owner: Holder) -> None:
    click(browser, "card")
    first = account_of(owner.customer).stripe_customer_id
    # The second click asked before the first one had noted its answer.
    Account.objects.update(stripe_customer_id="")
    click(browser, "card")
    assert account_of(owner.customer).stripe_customer_id == first


def test_two_sessions_make_one_subscription(till: Till, owner: Holder) -> None:
    till.checkout(owner.customer)
    till.checkout(owner.customer)
    account = subscribed(till, owner)
    assert len(stripe_gateway.subscriptions_of(account.stripe_customer_id)) == 1


def test_two_sessions_that_are_told_of_at_once_make_one_subscription(
    till: Till, owner: Holder
) -> None:
    till.checkout(owner.customer)
    customer = account_of(owner.customer).stripe_customer_id
    subscribing.subscribe(customer, "cs_1", [], NOW)
    with pytest.raises(stripe_gateway.StripeFault):  # he, too, has seen no subscription yet
        subscribing.subscribe(customer, "cs_2", [], NOW)
    assert len(stripe_gateway.subscriptions_of(customer)) == 1


def test_a_session_that_is_told_of_late_does_not_subscribe_again(till: Till, owner: Holder) -> None:
    account = subscribed(till, owner)
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    StripeEvent.objects.all().delete()
    send_all(till.events())
    account = account_of(owner.customer)
    assert account.plan == "free"
    (subscription,) = stripe_gateway.subscriptions_of(account.stripe_customer_id)
    assert not subscription.is_live


def test_who_is_subscribed_is_sent_to_the_portal_for_another_card(
    till: Till, browser: Client, owner: Holder
) -> None:
    subscribed(till, owner)
    answer = browser.post("/dashboard/billing/card/")
    assert "/portal/" in answer["Location"]
    assert "/portal/" in click(browser, "portal")


def test_cancelling_holds_to_the_end_of_the_month_and_bills_what_is_owed(
    till: Till, browser: Client, owner: Holder
) -> None:
    account = subscribed(till, owner)
    till.use(owner.customer, 3_000)
    portal = click(browser, "portal")
    till.press(portal, do="cancel", subscription=account.stripe_subscription_id)
    send_all(till.events())
    account = account_of(owner.customer)
    assert account.plan == "payg"
    assert account.subscription_ends_at == datetime(2026, 12, 1, tzinfo=UTC)
    assert "You have cancelled.</strong> The plan ends on 1 December 2026" in text_of(browser)

    till.end_month()
    send_all(till.events())
    account = account_of(owner.customer)
    assert (account.plan, account.status) == ("free", "active")
    assert account.this_month.live_units == 0
    invoice = account.invoice_set.get()
    assert (invoice.status, invoice.total) == ("paid", 100)
    assert "Add a card" in text_of(browser)


def test_another_subscription_of_the_customer_bills_no_predictions(
    till: Till, owner: Holder
) -> None:
    customer = subscribing.stripe_customer_of(owner.customer)
    sell_support(till.local, customer, NOVEMBER, DECEMBER)
    account = subscribed(till, owner)
    assert account.plan == "payg"
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    send_all(till.events())
    assert account_of(owner.customer).plan == "free"


def should_have_ended(holder: Holder, ago: timedelta = timedelta(minutes=1)) -> None:
    """By our row; Stripe was asked before that."""
    end = timezone.now() - ago
    rows = Account.objects.filter(customer=holder.customer)
    rows.update(subscription_ends_at=end, subscription_read_at=end - timedelta(days=3))


def nobody_tells(stopped: threading.Event) -> None:
    """No event that Stripe could not deliver."""


def test_the_end_is_seen_though_no_event_tells_of_it(
    till: Till, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = subscribed(till, owner)
    should_have_ended(owner)
    monkeypatch.setattr(bill, "receive_events", nobody_tells)
    call_command("bill")
    assert account_of(owner.customer).plan == "payg"  # Stripe has not ended it yet
    should_have_ended(owner)
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    call_command("bill")
    assert account_of(owner.customer).plan == "free"


def test_stripe_is_asked_again_while_it_may_be_late_with_the_end(till: Till, owner: Holder) -> None:
    account = subscribed(till, owner)
    should_have_ended(owner)
    subscribing.follow_ends(GOING)
    should_have_ended(owner)
    Account.objects.update(subscription_read_at=timezone.now())
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    subscribing.follow_ends(GOING)
    assert account_of(owner.customer).plan == "free"


def test_a_plan_by_agreement_stays_when_the_end_was_seen(till: Till, owner: Holder) -> None:
    account = subscribed(till, owner)
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    should_have_ended(owner, subscribing.LATE_END + timedelta(minutes=1))
    Account.objects.update(subscription_read_at=timezone.now())
    account_of(owner.customer).change(plan="volume")
    subscribing.follow_ends(GOING)
    assert account_of(owner.customer).plan == "volume"


def test_who_has_not_ended_yet_or_is_known_to_have_is_not_asked_about(
    till: Till, owner: Holder, stranger: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribed(till, owner)
    subscribed(till, stranger)
    should_have_ended(owner, -timedelta(hours=1))
    should_have_ended(stranger)
    account_of(stranger.customer).change(plan="free")
    asked: list[str] = []
    monkeypatch.setattr(stripe_gateway, "subscriptions_of", asked.append)
    subscribing.follow_ends(GOING)
    assert asked == []


def test_one_end_that_stripe_refuses_to_tell_keeps_no_other(
    till: Till, owner: Holder, stranger: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = subscribed(till, owner).stripe_customer_id
    account = subscribed(till, stranger)
    should_have_ended(owner)
    should_have_ended(stranger)
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    subscriptions_of = stripe_gateway.subscriptions_of

    def of_others(customer: str) -> list[stripe_gateway.Subscription]:
        if customer == refused:
            raise stripe_gateway.StripeRefused("no")
        return subscriptions_of(customer)

    monkeypatch.setattr(stripe_gateway, "subscriptions_of", of_others)
    with pytest.raises(stripe_gateway.StripeRefused):
        subscribing.follow_ends(GOING)
    plans = [account_of(one.customer).plan for one in (owner, stranger)]
    assert plans == ["payg", "free"]


def test_who_comes_back_after_the_end_is_billed_from_there_on(till: Till, owner: Holder) -> None:
    account = subscribed(till, owner)
    stripe_gateway.v1().subscriptions.cancel(account.stripe_subscription_id)
    till.checkout(owner.customer)
    send_all(till.events())
    account = account_of(owner.customer)
    assert account.plan == "payg"
    new, old = stripe_gateway.subscriptions_of(account.stripe_customer_id)
    assert account.stripe_subscription_id == new.id
    assert new.period_start == old.ended_at


def test_a_card_at_the_turn_of_the_month_counts_from_the_new_one(till: Till, owner: Holder) -> None:
    control(till.local, "POST", "clock", {"to": at("2026-12-01 00:00") - 2})
    till.checkout(owner.customer)
    control(till.local, "POST", "clock", {"to": at("2026-12-01 00:10")})
    (event,) = (e for e in till.events() if e["type"] == "checkout.session.completed")
    send_all([{**event, "created": at("2026-12-01 00:10")}])
    account = account_of(owner.customer)
    (subscription,) = stripe_gateway.subscriptions_of(account.stripe_customer_id)
    assert (subscription.period_start, subscription.period_end) == (
        DECEMBER,
        at("2027-01-01 00:00"),
    )


def test_a_plan_by_agreement_stays_when_a_card_is_added(till: Till, owner: Holder) -> None:
    Account.objects.of(owner.customer).change(plan="volume")
    assert subscribed(till, owner).plan == "volume"


def test_the_allowance_and_the_counters_are_kept(till: Till, holder: Callable[..., Holder]) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    Account.objects.of(live.customer)
    Account.objects.update(live_units=700, period=datetime.now(UTC).date().replace(day=1))
    assert subscribed(till, live).live_units == 700


def test_while_stripe_is_away_the_page_says_so(
    till: Till, browser: Client, owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.HTTPClient.INITIAL_DELAY", 0.01)
    control(till.local, "POST", "failures", {"kind": "error", "times": 3})
    answer = browser.post("/dashboard/billing/card/", follow=True)
    assert "Stripe cannot be reached at the moment." in answer.content.decode()


def test_a_customer_who_was_deleted_at_stripe_is_sent_to_support(
    till: Till, browser: Client, owner: Holder
) -> None:
    account = subscribed(till, owner)
    stripe_gateway.v1().customers.delete(account.stripe_customer_id)
    answer = browser.post("/dashboard/billing/portal/", follow=True)
    assert "Something is wrong with your account at Stripe." in answer.content.decode()


@pytest.mark.parametrize("name", ["card", "portal"])
def test_nobody_goes_to_stripe_without_signing_in(client: Client, db: None, name: str) -> None:
    answer = client.post(f"/dashboard/billing/{name}/")
    assert answer["Location"].startswith("/accounts/login/")
    assert client.get(f"/dashboard/billing/{name}/").status_code in (302, 405)


def test_the_button_needs_the_token_of_its_form(owner: Holder) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner.customer.user)
    assert strict.post("/dashboard/billing/card/").status_code == 403


def test_the_way_to_stripe_is_allowed_by_the_policy_of_the_page(browser: Client) -> None:
    from django.conf import settings

    policy = browser.get("/dashboard/billing/")["Content-Security-Policy"]
    (forms,) = (part for part in policy.split(";") if "form-action" in part)
    assert set(settings.STRIPE_PAGES) <= set(forms.split())


def test_the_pages_say_that_no_money_moves(browser: Client, settings: Any) -> None:
    assert "sandbox: no money moves" in text_of(browser)
    settings.STRIPE_LIVEMODE = True
    assert "no money moves" not in text_of(browser)


def test_one_customers_portal_is_not_anothers(
    till: Till, owner: Holder, stranger: Holder, client: Client
) -> None:
    account = subscribed(till, owner)
    client.force_login(stranger.customer.user)
    client.post("/dashboard/billing/portal/")
    assert account_of(stranger.customer).stripe_customer_id != account.stripe_customer_id
    assert subscribing.is_ours(account.stripe_customer_id)
