from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.plans import FREE, PAYG, SANDBOX, VOLUME, Plan, Rate
from billing.rate_limit import limit_header, look, policy_header, seconds, take

NOON = datetime(2026, 11, 23, 12, 30, 15, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

rates = st.builds(Rate, st.sampled_from([1, 5, 20, 100, 20_000]), st.integers(1, 8))
# From the gaps between calls of a crowd to those between calls of a person.
pauses = st.one_of(
    st.integers(0, 100),
    st.sampled_from([50, 10_000, 50_000, 200_000, 1_000_000]),
    st.integers(0, 3_000_000),
)


class Bucket:
    """A bucket that holds `burst` tokens, into which `per_second` fall; a call takes one."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self.tokens = Fraction(rate.burst)

    def rest(self, microseconds: int) -> None:
        gained = Fraction(microseconds * self.rate.per_second, 1_000_000)
        self.tokens = min(self.tokens + gained, Fraction(self.rate.burst))

    def take(self) -> bool:
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def time_to(self, tokens: int) -> timedelta:
        lacking = (tokens - self.tokens) / self.rate.per_second
        return timedelta(microseconds=float(lacking * 1_000_000))


@given(rates, st.lists(pauses, max_size=120))
def test_calls_are_given_as_a_bucket_of_tokens_gives_them(rate: Rate, pauses: list[int]) -> None:
    bucket, tat, now = Bucket(rate), LONG_AGO, NOON
    for pause in pauses:
        now += timedelta(microseconds=pause)
        bucket.rest(pause)
        expected_wait = bucket.time_to(1)
        taken = take(rate, tat, now)
        if bucket.take():
            assert taken.wait == timedelta(0)
        else:
            assert taken.wait == expected_wait > timedelta(0)
            assert taken.tat == tat
        assert taken.remaining == int(bucket.tokens)
        assert taken.reset == bucket.time_to(rate.burst)
        tat = taken.tat


@given(rates, st.integers(0, 100))
def test_a_call_that_waited_as_it_was_told_is_given(rate: Rate, before: int) -> None:
    tat = NOON
    for _ in range(rate.burst + before):
        tat = take(rate, tat, NOON).tat
    wait = take(rate, tat, NOON).wait
    assert take(rate, tat, NOON + wait - MICROSECOND).wait
    assert not take(rate, tat, NOON + wait).wait


@given(rates, st.integers(1, 10_000_000))
def test_a_clock_that_is_set_back_gives_no_call_more(rate: Rate, back: int) -> None:
    tat = NOON
    for _ in range(rate.burst):
        tat = take(rate, tat, NOON).tat
    earlier = NOON - timedelta(microseconds=back)
    assert take(rate, tat, earlier).wait == take(rate, tat, NOON).wait + (NOON - earlier)


@given(rates, st.integers(-10_000_000, 10_000_000))
def test_a_look_says_what_the_next_call_would_find_and_changes_nothing(
    rate: Rate, ahead: int
) -> None:
    tat = NOON + timedelta(microseconds=ahead)
    seen, taken = look(rate, tat, NOON), take(rate, tat, NOON)
    assert (seen.tat, seen.wait) == (tat, timedelta(0))
    assert seen.remaining == (0 if taken.wait else taken.remaining + 1)
    assert seen.reset == max(tat - NOON, timedelta(0))


def test_no_rest_gives_more_than_the_burst() -> None:
    rate = Rate(5, 3)
    tat = LONG_AGO
    for remaining in (2, 1, 0):
        taken = take(rate, tat, NOON)
        assert (taken.remaining, taken.wait) == (remaining, timedelta(0))
        tat = taken.tat
    refused = take(rate, tat, NOON)
    assert refused.wait == timedelta(milliseconds=200)
    assert refused.tat == tat


@pytest.mark.parametrize(
    ("time", "whole"),
    [(0, 0), (1, 1), (999_999, 1), (1_000_000, 1), (1_000_001, 2), (2_000_000, 2)],
)
def test_seconds_are_those_after_which_the_time_is_over(time: int, whole: int) -> None:
    assert seconds(timedelta(microseconds=time)) == whole


@pytest.mark.parametrize(
    ("plan", "header"),
    [
        (FREE, '"free";q=50;w=10'),
        (PAYG, '"payg";q=1000;w=10'),
        (VOLUME, '"volume";q=40000;w=2'),
        (SANDBOX, '"sandbox";q=400;w=20'),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_policy_says_burst_and_window(plan: Plan, header: str) -> None:
    assert policy_header(plan) == header


def test_the_limit_says_what_is_left_and_when_it_is_whole() -> None:
    first = take(FREE.rate, LONG_AGO, NOON)
    assert limit_header(FREE, first) == '"free";r=49;t=1'
    sixth = take(FREE.rate, NOON + 5 * FREE.rate.interval, NOON)
    assert limit_header(FREE, sixth) == '"free";r=44;t=2'
    refused = take(FREE.rate, NOON + timedelta(seconds=9.9), NOON)
    assert limit_header(FREE, refused) == '"free";r=0;t=10'
