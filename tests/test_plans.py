from datetime import timedelta
from itertools import pairwise

import pytest

from billing.models import Account
from billing.plans import FREE, PAYG, PLANS, SANDBOX, VOLUME, Plan, plan_of

ALL = [*PLANS.values(), SANDBOX]
BILLED = [plan for plan in ALL if plan.is_billed]
each_plan = pytest.mark.parametrize("plan", ALL, ids=lambda plan: plan.name)
each_billed_plan = pytest.mark.parametrize("plan", BILLED, ids=lambda plan: plan.name)


def test_the_plans_with_a_price_are_billed_and_the_others_are_not() -> None:
    assert BILLED == [PAYG, VOLUME]


@each_billed_plan
def test_the_first_tier_of_a_billed_plan_is_free_and_is_its_allowance(plan: Plan) -> None:
    assert (plan.tiers[0].up_to, plan.tiers[0].price) == (plan.allowance, 0)


@each_billed_plan
def test_tiers_ascend_and_the_last_has_no_end(plan: Plan) -> None:
    *closed, last = plan.tiers
    ends = [tier.up_to for tier in closed]
    assert None not in ends
    assert all(before < after for before, after in pairwise(ends))
    assert last.up_to is None


@each_billed_plan
def test_units_that_are_paid_for_get_cheaper_and_are_never_free(plan: Plan) -> None:
    prices = [tier.price for tier in plan.tiers[1:]]
    assert prices == sorted(prices, reverse=True)
    assert all(price > 0 for price in prices)


@each_plan
def test_the_interval_between_two_calls_is_exact(plan: Plan) -> None:
    assert plan.rate.interval * plan.rate.per_second == timedelta(seconds=1)


@each_plan
def test_a_burst_is_at_least_the_calls_of_a_second(plan: Plan) -> None:
    assert plan.rate.burst >= plan.rate.per_second


@each_plan
def test_one_request_may_not_take_more_than_the_allowance(plan: Plan) -> None:
    assert 0 < plan.max_images <= plan.allowance or plan.is_billed


def test_the_table_is_by_name_and_each_name_fits_its_column() -> None:
    assert {name: plan.name for name, plan in PLANS.items()} == {name: name for name in PLANS}
    longest = Account._meta.get_field("plan").max_length
    assert all(len(plan.name) <= longest for plan in ALL)


def test_a_customer_cannot_be_on_the_sandbox() -> None:
    assert SANDBOX.name not in PLANS


@pytest.mark.parametrize("name", PLANS)
def test_live_keys_are_on_the_plan_of_their_customer_and_test_keys_on_the_sandbox(
    name: str,
) -> None:
    assert plan_of(name, livemode=True) is PLANS[name]
    assert plan_of(name, livemode=False) is SANDBOX


def test_a_new_customer_is_on_the_free_plan() -> None:
    assert Account._meta.get_field("plan").default == FREE.name
