import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from model import serving
from predictions import gathering
from predictions.calls import Answer, OpenCall, Outcome
from predictions.gathering import ENOUGH, Batch, Gathering, Waiting
from predictions.metrics import Counts, Kind
from predictions.predicting import QUICK_SECONDS
from predictions.settlement import Latecomers, nobody
from predictions.settling import Settling
from tests.calls import opened
from tests.conftest import Holder

PATIENCE_SECONDS = 20

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def begun(release: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls were there when each batch began. The model is quick, however busy this
    machine is.
    """
    monkeypatch.setattr(serving.current(), "seconds", 0)
    sizes: list[int] = []

    class Noted(Batch):
        def __init__(self, arrived: deque[Waiting]) -> None:
            super().__init__(arrived)
            sizes.append(len(arrived))

    monkeypatch.setattr(gathering, "Batch", Noted)
    return sizes


def gathered(run: Callable[[Gathering], Awaitable[list[Outcome]]]) -> list[Outcome]:
    """What comes of calls that are given to a new gathering."""

    async def give() -> list[Outcome]:
        own = Gathering()
        async with asyncio.timeout(PATIENCE_SECONDS):
            outcomes = await run(own)
            await own.finish()
        return outcomes

    return asyncio.run(give())


async def read_next(own: Gathering, call: OpenCall) -> Outcome:
    """Settle a call that is read in the next turn of the loop."""
    return await own.settled(call)


def test_a_batch_begins_with_all_that_the_loop_has_read(
    owner: Holder, release: str, begun: list[int]
) -> None:
    calls = [opened(owner, n) for n in (1, 2, 3)]

    async def run(own: Gathering) -> list[Outcome]:
        first = own.settled(calls[0])
        others = [read_next(own, call) for call in calls[1:]]
        return list(await asyncio.gather(first, *others))

    outcomes = gathered(run)
    assert [one.id for one in outcomes if isinstance(one, Answer)] == [call.id for call in calls]
    assert begun == [3]


def test_enough_calls_are_not_kept_waiting_for_another(
    owner: Holder, release: str, begun: list[int]
) -> None:
    async def run(own: Gathering) -> list[Outcome]:
        enough = [own.settled(opened(owner)) for _ in range(ENOUGH)]
        return list(await asyncio.gather(*enough, read_next(own, opened(owner))))

    assert len(gathered(run)) == ENOUGH + 1
    assert begun[0] == ENOUGH


def test_a_call_that_arrives_while_others_are_settled_is_the_next_batch(
    owner: Holder, release: str, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, is_settling, is_given = Settling.settle, asyncio.Event(), asyncio.Event()

    async def held(own: Settling, calls: list[OpenCall], latecomers: object) -> list[Outcome]:
        is_settling.set()
        await is_given.wait()
        return await settle(own, calls, nobody)

    async def run(own: Gathering) -> list[Outcome]:
        first = own.settled(opened(owner))
        await is_settling.wait()
        second = own.settled(opened(owner))
        is_given.set()
        return list(await asyncio.gather(first, second))

    monkeypatch.setattr(Settling, "settle", held)
    assert all(isinstance(one, Answer) for one in gathered(run))
    assert begun == [1, 1]


def test_an_outcome_that_cannot_be_taken_hinders_no_other(owner: Holder, release: str) -> None:
    def breaks(outcome: Outcome) -> None:
        raise RuntimeError("the connection is closed")

    async def run(own: Gathering) -> list[Outcome]:
        own.settle(opened(owner), breaks)
        return [await own.settled(opened(owner))]

    (outcome,) = gathered(run)
    assert isinstance(outcome, Answer)


def test_latecomers_with_another_key_are_the_first_of_the_next_batch(
    owner: Holder, stranger: Holder, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_BATCH", 3)  # so that the last one stays where it is
    holders = [owner, stranger, owner, stranger]
    waiting: list[Waiting] = [(opened(holder), [].append) for holder in holders]
    arrived: deque[Waiting] = deque(waiting[:1])
    batch = Batch(arrived)
    batch.take_what_is_there()
    arrived.extend(waiting[1:])
    assert batch.latecomers({owner.row.pk}) == [waiting[2][0]]
    assert batch.waiting == [waiting[0], waiting[2]]
    assert list(arrived) == [waiting[1], waiting[3]]


def test_calls_are_decoded_together_when_a_batch_begins_or_enough_are_there(
    owner: Holder, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "DECODED_TOGETHER", 3)
    decoded: list[str] = []

    async def run(own: Gathering) -> list[Outcome]:
        taken: list[Outcome] = []

        def decode(name: str) -> None:
            decoded.append(name)
            own.settle(opened(owner), taken.append)

        def breaks() -> None:
            raise RuntimeError("a fault in decoding")

        for name in "abcd":
            own.decode_with_others(partial(decode, name))
            assert len(decoded) == (3 if name in "cd" else 0)
        own.decode_with_others(breaks)
        while len(taken) < 4:
            await asyncio.sleep(0.01)
        return taken

    assert all(isinstance(one, Answer) for one in gathered(run))
    assert decoded == list("abcd")
    assert begun == [4]


def test_latecomers_are_decoded_where_they_are_taken_along(
    owner: Holder, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = Settling.settle
    taken: list[Outcome] = []

    async def run(own: Gathering) -> list[Outcome]:
        def decode() -> None:
            own.settle(opened(owner, 2), taken.append)

        async def late(
            settling: Settling, calls: list[OpenCall], latecomers: Latecomers
        ) -> list[Outcome]:
            own.decode_with_others(decode)
            calls.extend(latecomers({owner.row.pk}))
            return await settle(settling, calls, nobody)

        monkeypatch.setattr(Settling, "settle", late)
        return [await own.settled(opened(owner)), *taken]

    assert [isinstance(one, Answer) for one in gathered(run)] == [True, True]
    assert begun == [1]


def test_what_takes_a_while_to_predict_is_predicted_in_a_thread_before_it_is_settled(
    owner: Holder, release: str, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    current, predict = serving.current(), serving.current().predict
    threads: list[str] = []

    def slow(images: Any) -> Any:
        threads.append(threading.current_thread().name)
        time.sleep(0.5)
        return predict(images)

    monkeypatch.setattr(current, "predict", slow)
    monkeypatch.setattr(current, "seconds", 2 * QUICK_SECONDS)
    calls = [opened(owner, n) for n in (1, 2, 3)]

    async def run(own: Gathering) -> list[Outcome]:
        settled = asyncio.gather(*(own.settled(call) for call in calls))
        while not settled.done():
            turned = time.monotonic()
            await asyncio.sleep(0.01)
            assert time.monotonic() - turned < 0.4
        return list(settled.result())

    outcomes = gathered(run)
    assert [one.id for one in outcomes if isinstance(one, Answer)] == [call.id for call in calls]
    assert [name.partition("_")[0] for name in threads] == ["predicting"]
    assert begun[-1] == 3


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[dict[Kind, int]]:
    """The calls of each time that counts are written."""
    times: list[dict[Kind, int]] = []
    monkeypatch.setattr(Counts, "write", lambda counts: times.append(counts.calls))
    return times


def test_what_is_counted_is_written_together_and_soon(written: list[dict[Kind, int]]) -> None:
    async def run() -> None:
        own, kind = Gathering(), Kind(200, "", "softmax-1", 1)
        own.count([kind, kind], [0.1, 0.2], 0.3)
        own.count([kind], [0.1], 0.3)
        assert not written
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not written:
                await asyncio.sleep(0.01)
        assert written == [{kind: 3}]
        own.count([kind], [0.1], 0.3)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(written) < 2:
                await asyncio.sleep(0.01)
        assert written[1] == {kind: 1}

    asyncio.run(run())


def test_what_is_counted_is_written_before_the_process_ends(
    owner: Holder, release: str, written: list[dict[Kind, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "WRITE_SECONDS", 3600)

    async def run(own: Gathering) -> list[Outcome]:
        return [await own.settled(opened(owner))]

    gathered(run)
    assert [sum(calls.values()) for calls in written] == [1]


def test_counts_that_cannot_be_written_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counts, "write", lambda counts: 1 / 0)

    async def run() -> None:
        Gathering().write_counts()

    with capture_logs() as lines:
        asyncio.run(run())
    assert [line["event"] for line in lines] == ["not_counted"]
