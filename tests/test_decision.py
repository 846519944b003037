from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing import rate_limit
from billing.decision import (
    AccountState,
    Charge,
    KeyState,
    Notice,
    Verdict,
    decide,
    level,
    next_month,
)
from billing.plans import FREE, PAYG, PLANS, SANDBOX, VOLUME
from billing.rating import price

NOON = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
GOOD = KeyState(None, None, None)
DEAD = KeyState(NOON, None, None)

NEW = AccountState(
    plan=FREE.name,
    status="active",
    spend_limit_cents=50_00,
    period=date(2026, 11, 1),
    live_units=0,
    test_units=0,
    live_tat=LONG_AGO,
    test_tat=LONG_AGO,
    allowance_told=0,
    spend_told=0,
)


def account(**fields: Any) -> AccountState:
    return NEW._replace(**fields)


def ask(
    before: AccountState,
    units: int = 1,
    livemode: bool = True,
    at: datetime = NOON,
    key: KeyState = GOOD,
) -> Verdict:
    return decide(before, key, Charge(1, 1, livemode, "softmax-1" if units else "", units), at)


def code(verdict: Verdict) -> str:
    """Why it is refused, and then it costs nothing; "" for a call that is answered."""
    if not verdict.refusal:
        return ""
    assert (verdict.units, verdict.release, verdict.cost) == (0, "", 0)
    return verdict.refusal.type.code


def of_limits(before: AccountState) -> AccountState:
    """Without what a call changes even if it is refused."""
    return before._replace(live_tat=LONG_AGO, test_tat=LONG_AGO, allowance_told=0, spend_told=0)


# Counting


@pytest.mark.parametrize(
    ("livemode", "expected"), [(True, (13, 20)), (False, (10, 23))], ids=["live", "test"]
)
def test_units_are_counted_on_the_account_of_their_mode(
    livemode: bool, expected: tuple[int, int]
) -> None:
    verdict = ask(account(live_units=10, test_units=20), 3, livemode)
    assert (verdict.account.live_units, verdict.account.test_units) == expected
    assert (verdict.units, verdict.release, verdict.at) == (3, "softmax-1", NOON)


def test_a_call_refused_before_has_no_units_and_no_release_but_takes_from_the_rate() -> None:
    verdict = ask(NEW, 0)
    assert (verdict.units, verdict.release, code(verdict)) == (0, "", "")
    assert verdict.account == NEW._replace(live_tat=NOON + FREE.rate.interval)


@pytest.mark.parametrize(("livemode", "plan"), [(True, PAYG), (False, SANDBOX)])
def test_the_plan_is_that_of_the_mode(livemode: bool, plan: object) -> None:
    verdict = ask(account(plan="payg"), 1, livemode)
    assert verdict.plan is plan
    assert verdict.headers["RateLimit-Policy"].startswith(f'"{verdict.plan.name}"')
    assert verdict.headers["RateLimit"].startswith(f'"{verdict.plan.name}";r=')


# Keys and accounts


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (KeyState(NOON, None, None), "revoked_key"),
        (KeyState(NOON + timedelta(days=1), None, None), "revoked_key"),
        (KeyState(None, NOON, None), "expired_key"),
        (KeyState(None, NOON + MICROSECOND, None), ""),
        (KeyState(None, None, NOON), ""),
    ],
)
def test_a_key_is_dead_from_its_revocation_and_from_the_instant_of_its_expiry(
    key: KeyState, expected: str
) -> None:
    verdict = ask(NEW, key=key)
    assert code(verdict) == expected
    if expected:
        assert verdict.account == NEW
        assert verdict.refusal
        assert "WWW-Authenticate" in verdict.refusal.headers


def test_who_has_not_paid_is_refused_with_every_key_and_told_how_to_go_on() -> None:
    for livemode in (True, False):
        verdict = ask(account(status="payment_failed"), livemode=livemode)
        assert (code(verdict), verdict.units, verdict.cost) == ("payment_failed", 0, 0)
        assert verdict.refusal
        assert verdict.refusal.type.status == 402
        assert "billing page" in verdict.refusal.detail


def test_a_suspended_account_is_refused_and_nothing_of_it_changes() -> None:
    suspended = account(status="suspended", live_units=1_000)
    for livemode in (True, False):
        for units in (0, 1):
            verdict = ask(suspended, units, livemode)
            assert code(verdict) == "account_suspended"
            assert verdict.account == suspended


@pytest.mark.parametrize("status", ["suspended", "payment_failed"])
@pytest.mark.parametrize(("calls", "left"), [(0, 50), (1, 49), (50, 0), (51, 0)])
def test_who_is_refused_for_his_account_is_told_how_the_rate_stands_and_takes_nothing(
    status: str, calls: int, left: int
) -> None:
    before = account(status=status, live_tat=NOON + calls * FREE.rate.interval)
    verdict = ask(before)
    assert code(verdict) in ("account_suspended", "payment_failed")
    reset = rate_limit.seconds(calls * FREE.rate.interval)
    assert verdict.headers["RateLimit"] == f'"free";r={left};t={reset}'
    assert verdict.account == before


def test_a_client_that_hammers_at_what_he_cannot_have_is_slowed_down() -> None:
    now = account(live_units=1_000)
    for _ in range(FREE.rate.burst):
        verdict = ask(now)
        assert code(verdict) == "payment_required"
        now = verdict.account
    assert code(ask(now)) == "rate_limited"


FULL = {"live_units": 1_000, "live_tat": NOON + timedelta(hours=1)}


@pytest.mark.parametrize(
    ("before", "key", "units", "expected"),
    [
        (account(status="suspended", **FULL), DEAD, 101, "revoked_key"),
        (account(status="suspended", **FULL), GOOD, 101, "account_suspended"),
        (account(**FULL), GOOD, 101, "rate_limited"),
        (account(live_units=1_000), GOOD, 101, "too_many_images"),
        (account(live_units=1_000), GOOD, 1, "payment_required"),
    ],
)
def test_of_several_refusals_the_first_in_order_is_given(
    before: AccountState, key: KeyState, units: int, expected: str
) -> None:
    assert code(ask(before, units, key=key)) == expected


# The allowance


@pytest.mark.parametrize(
    ("used", "units", "expected"),
    [
        (0, 100, ""),
        (999, 1, ""),
        (998, 2, ""),
        (999, 2, "payment_required"),
        (1_000, 1, "payment_required"),
        (1_000, 0, ""),
        (5_000, 1, "payment_required"),
    ],
)
def test_the_free_allowance_holds_to_the_unit(used: int, units: int, expected: str) -> None:
    before = account(live_units=used)
    verdict = ask(before, units)
    assert code(verdict) == expected
    counted = used if expected else used + units
    assert of_limits(verdict.account) == account(live_units=counted)


@pytest.mark.parametrize(("used", "left"), [(970, 30), (1_000, 0), (5_000, 0)])
def test_a_refusal_says_what_was_asked_and_what_is_left(used: int, left: int) -> None:
    """More than the allowance is used by who was on a plan that is billed."""
    refusal = ask(account(live_units=used), 50).refusal
    assert refusal
    assert f"is of 50, and {left} of the month's 1,000 are left" in refusal.detail
    assert not refusal.headers


@pytest.mark.parametrize(
    ("used", "units", "expected"),
    [
        (19_999, 1, ""),
        (19_901, 100, "test_allowance_used_up"),
        (19_900, 100, ""),
        (20_000, 1, "test_allowance_used_up"),
    ],
)
@pytest.mark.parametrize("plan", PLANS)
def test_test_keys_have_the_allowance_of_the_sandbox_on_any_plan(
    plan: str, used: int, units: int, expected: str
) -> None:
    before = account(plan=plan, test_units=used, live_units=1_000, spend_limit_cents=0)
    verdict = ask(before, units, livemode=False)
    assert code(verdict) == expected
    assert verdict.cost == 0
    assert verdict.notices == ()
    assert of_limits(verdict.account) == before._replace(
        test_units=used if expected else used + units
    )


def test_test_keys_are_told_to_come_back_when_the_month_turns() -> None:
    full = account(test_units=20_000)
    refusal = ask(full, livemode=False, at=DECEMBER - timedelta(seconds=90.5)).refusal
    assert refusal
    assert refusal.headers == {"Retry-After": "91"}


@pytest.mark.parametrize(
    ("plan", "livemode", "most"),
    [("free", True, 100), ("payg", True, 1_000), ("volume", True, 2_000), ("volume", False, 100)],
)
def test_a_request_may_have_as_many_images_as_the_plan_says(
    plan: str, livemode: bool, most: int
) -> None:
    assert code(ask(account(plan=plan), most, livemode)) == ""
    verdict = ask(account(plan=plan), most + 1, livemode)
    assert code(verdict) == "too_many_images"
    assert of_limits(verdict.account) == account(plan=plan)


# The spend limit


@pytest.mark.parametrize(
    ("used", "units", "limit", "expected"),
    [
        (0, 1_000, 0, ""),  # the free tier
        (1_000, 1, 0, "spend_limit_reached"),
        (999, 2, 0, "spend_limit_reached"),
        (1_000, 20, 1, ""),  # 20 units at 500 micros are a cent
        (1_000, 21, 1, "spend_limit_reached"),
        (1_019, 1, 1, ""),
        (1_020, 1, 1, "spend_limit_reached"),
        (1_020, 0, 1, ""),
        (99_990, 10, 49_50, ""),
        (99_990, 11, 49_50, "spend_limit_reached"),  # the next costs 400
        (99_990, 11, 49_51, ""),
        (100_000, 25, 49_51, ""),
        (100_000, 26, 49_51, "spend_limit_reached"),
        (2_000, 1, 10, "spend_limit_reached"),  # the limit was set below what is spent
    ],
)
@pytest.mark.parametrize("plan", [PAYG, VOLUME], ids=lambda plan: plan.name)
def test_the_spend_limit_holds_to_the_micro(
    plan: Any, used: int, units: int, limit: int, expected: str
) -> None:
    before = account(plan=plan.name, live_units=used, spend_limit_cents=limit)
    verdict = ask(before, units)
    assert code(verdict) == expected
    counted = used if expected else used + units
    assert of_limits(verdict.account) == before._replace(live_units=counted)
    assert verdict.cost == price(plan.tiers, counted) - price(plan.tiers, used)


def test_a_refusal_says_where_the_call_would_lead_and_where_the_limit_is() -> None:
    refusal = ask(account(plan="payg", live_units=1_000, spend_limit_cents=1), 21).refusal
    assert refusal
    assert "to $0.0105, and your limit is $0.01." in refusal.detail


def test_the_cost_of_a_call_over_the_end_of_a_tier_is_that_of_both_prices() -> None:
    assert ask(account(plan="payg", live_units=998), 5).cost == 3 * 500
    assert ask(account(plan="payg", live_units=99_999), 3).cost == 500 + 2 * 400


def test_what_is_refused_brings_no_limit_nearer() -> None:
    """Its units would cost more than half of the dollar."""
    verdict = ask(account(plan="payg", live_units=1_000, spend_limit_cents=1_00), 1_001)
    assert (code(verdict), verdict.notices) == (
        "too_many_images",
        (Notice("allowance", 100, 1_000),),
    )


@pytest.mark.parametrize(
    ("plan", "livemode", "expected"),
    [("payg", True, 4 * 500), ("free", True, 0), ("payg", False, 0)],
)
def test_an_answer_knows_what_the_month_has_cost_with_it(
    plan: str, livemode: bool, expected: int
) -> None:
    verdict = ask(account(plan=plan, live_units=999 if plan == "free" else 1_003), 1, livemode)
    assert verdict.spent == expected
    assert ask(account(plan=plan, live_units=1_003), 0, livemode).spent == 0


def test_a_free_plan_has_no_spend_limit() -> None:
    assert code(ask(account(spend_limit_cents=0), 1)) == ""


# The rate


@pytest.mark.parametrize(
    ("plan", "livemode"), [("free", True), ("payg", True), ("volume", True), ("volume", False)]
)
def test_a_burst_is_given_to_the_call_and_then_one_an_interval(plan: str, livemode: bool) -> None:
    state = account(plan=plan)
    rate = ask(state, 0, livemode).plan.rate
    for left in reversed(range(rate.burst)):
        verdict = ask(state, 0, livemode)
        assert (code(verdict), verdict.taken.remaining) == ("", left)
        state = verdict.account
    refused = ask(state, 0, livemode)
    assert code(refused) == "rate_limited"
    assert refused.account == state
    assert code(ask(state, 0, livemode, NOON + rate.interval - MICROSECOND)) == "rate_limited"
    assert code(ask(state, 0, livemode, NOON + rate.interval)) == ""


def test_a_call_that_comes_too_early_is_told_when_to_come() -> None:
    state = account(live_tat=NOON + timedelta(seconds=11.35))
    refusal = ask(state).refusal
    assert refusal
    assert refusal.headers == {"Retry-After": "2"}
    assert "The next is in 1.550 seconds." in refusal.detail


@pytest.mark.parametrize("livemode", [True, False])
def test_the_rate_of_one_mode_is_not_that_of_the_other(livemode: bool) -> None:
    late = NOON + timedelta(hours=1)
    state = account(**{"live_tat" if livemode else "test_tat": late})
    assert code(ask(state, 1, livemode)) == "rate_limited"
    verdict = ask(state, 1, not livemode)
    assert code(verdict) == ""
    kept = verdict.account.live_tat if livemode else verdict.account.test_tat
    assert kept == late


def test_a_call_over_a_limit_takes_from_the_rate() -> None:
    verdict = ask(account(live_units=1_000))
    assert code(verdict) == "payment_required"
    assert verdict.account.live_tat == NOON + FREE.rate.interval


# The month


def test_a_new_month_begins_at_zero() -> None:
    used = account(live_units=900, test_units=7, allowance_told=80, spend_told=50)
    for at, expected in ((DECEMBER - MICROSECOND, (1_000, 7)), (DECEMBER, (100, 0))):
        after = ask(used, 100, at=at).account
        assert (after.live_units, after.test_units) == expected
        assert after.period == at.date().replace(day=1)


def test_what_was_told_in_a_month_is_told_anew_in_the_next() -> None:
    told = account(allowance_told=100, spend_told=100)
    verdict = ask(told, 1, at=DECEMBER)
    assert (verdict.account.allowance_told, verdict.account.spend_told) == (0, 0)
    assert ask(told._replace(plan="payg"), 600, at=DECEMBER).notices == (
        Notice("allowance", 50, 1_000),
    )


def test_the_rate_does_not_begin_anew_with_the_month() -> None:
    late = account(live_tat=DECEMBER + timedelta(hours=1))
    assert code(ask(late, at=DECEMBER)) == "rate_limited"


def test_months_are_not_skipped_over_and_not_run_backwards() -> None:
    december = account(period=date(2026, 12, 1), live_units=5)
    assert ask(december, at=datetime(2027, 3, 31, 23, 59, tzinfo=UTC)).account.live_units == 1
    verdict = ask(december, 2, at=NOON)
    assert verdict.at == DECEMBER
    assert (verdict.account.period, verdict.account.live_units) == (date(2026, 12, 1), 7)


def test_the_first_call_of_an_account_opens_the_month() -> None:
    verdict = ask(account(period=date.min))
    assert (verdict.account.period, verdict.account.live_units) == (date(2026, 11, 1), 1)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (date(2026, 11, 1), datetime(2026, 12, 1, tzinfo=UTC)),
        (date(2026, 12, 1), datetime(2027, 1, 1, tzinfo=UTC)),
        (date(2027, 1, 1), datetime(2027, 2, 1, tzinfo=UTC)),
        (date(2027, 2, 1), datetime(2027, 3, 1, tzinfo=UTC)),
        (date(2028, 2, 1), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_month_ends_where_the_next_begins(period: date, expected: datetime) -> None:
    assert next_month(period) == expected


# Notices


@pytest.mark.parametrize(
    ("used", "units", "told", "expected"),
    [
        (498, 1, 0, []),
        (499, 1, 0, [50]),
        (500, 1, 50, []),
        (798, 1, 50, []),
        (799, 1, 50, [80]),
        (998, 1, 80, []),
        (999, 1, 80, [100]),
        (450, 400, 0, [80]),
        (0, 1_000, 0, [100]),
        (1_000, 1, 100, []),
    ],
)
def test_the_highest_level_of_the_allowance_that_a_call_reached_is_told_once(
    used: int, units: int, told: int, expected: list[int]
) -> None:
    before = account(plan="payg", live_units=used, allowance_told=told, spend_told=100)
    verdict = ask(before, units)
    assert [*verdict.notices] == [Notice("allowance", percent, 1_000) for percent in expected]
    assert verdict.account.allowance_told == max([told, *expected])


@pytest.mark.parametrize(
    ("used", "units", "told", "expected"),
    [
        (1_000, 999, 0, []),
        (1_000, 1_000, 0, [50]),
        (2_500, 99, 50, []),
        (2_500, 100, 50, [80]),
        (2_600, 399, 80, []),
        (2_600, 400, 80, [100]),
        (1_500, 1_000, 0, [50]),
        (2_000, 1_000, 0, [100]),
    ],
)
def test_the_highest_level_of_the_spend_limit_that_a_call_reached_is_told_once(
    used: int, units: int, told: int, expected: list[int]
) -> None:
    """A limit of a dollar is that of 2,000 units behind the 1,000 free ones."""
    before = account(
        plan="payg", live_units=used, spend_limit_cents=100, allowance_told=100, spend_told=told
    )
    verdict = ask(before, units)
    assert [*verdict.notices] == [Notice("spend", percent, 100) for percent in expected]
    assert verdict.account.spend_told == max([told, *expected])


def test_one_call_may_reach_a_level_of_both() -> None:
    before = account(plan="payg", live_units=950, spend_limit_cents=1, allowance_told=80)
    assert ask(before, 66).notices == (
        Notice("allowance", 100, 1_000),
        Notice("spend", 80, 1),
    )


@pytest.mark.parametrize(
    ("before", "units", "notice"),
    [
        (account(live_units=950), 51, Notice("allowance", 100, 1_000)),
        (
            account(plan="payg", live_units=1_000, spend_limit_cents=1, allowance_told=100),
            21,
            Notice("spend", 100, 1),
        ),
    ],
)
def test_a_limit_that_a_call_is_refused_for_is_told_as_reached_and_once(
    before: AccountState, units: int, notice: Notice
) -> None:
    refused = ask(before, units)
    assert code(refused)
    assert refused.notices == (notice,)
    again = ask(refused.account, units)
    assert code(again)
    assert again.notices == ()
    # What still fits is answered, and the level is not told a second time on its way.
    assert ask(refused.account, 1).notices == ()


@pytest.mark.parametrize("units", [0, 101])
def test_a_call_that_is_refused_for_another_reason_tells_nothing(units: int) -> None:
    assert ask(account(live_units=999, allowance_told=80), units).notices == ()


@pytest.mark.parametrize(
    ("used", "limit", "percent"),
    [(0, 0, 0), (0, 10, 0), (1, 0, 100), (4, 10, 0), (5, 10, 50), (99, 10, 100), (1, 3, 0)],
)
def test_a_level_is_reached_by_its_share_exactly(used: int, limit: int, percent: int) -> None:
    assert level(used, limit) == percent


@pytest.mark.parametrize("livemode", [True, False])
@pytest.mark.parametrize("units", [0, 1])
def test_each_call_takes_from_the_rate_of_its_kind_of_key(livemode: bool, units: int) -> None:
    verdict = ask(NEW, units, livemode)
    own, other = verdict.account.live_tat, verdict.account.test_tat
    if not livemode:
        own, other = other, own
    assert (own, other) == (verdict.taken.tat, LONG_AGO)
    assert own == NOON + (FREE if livemode else SANDBOX).rate.interval
