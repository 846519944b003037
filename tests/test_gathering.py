import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable

import pytest

from predictions import gathering
from predictions.calls import Answer, OpenCall, Outcome
from predictions.gathering import ENOUGH, Batch, Gathering, Waiting
from predictions.settlement import settle
from tests.calls import opened
from tests.conftest import Holder

PATIENCE_SECONDS = 20

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls were there when each batch began."""
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
    """Settle a call that is read in the next turn of the loop, and is a call in the one behind."""
    await asyncio.sleep(0)
    return await own.settle(call)


def test_a_batch_begins_with_all_that_the_loop_has_read(
    owner: Holder, release: str, begun: list[int]
) -> None:
    calls = [opened(owner, n) for n in (1, 2, 3)]

    async def run(own: Gathering) -> list[Outcome]:
        first = own.settle(calls[0])
        others = [read_next(own, call) for call in calls[1:]]
        return list(await asyncio.gather(first, *others))

    outcomes = gathered(run)
    assert [one.id for one in outcomes if isinstance(one, Answer)] == [call.id for call in calls]
    assert begun == [3]


def test_enough_calls_are_not_kept_waiting_for_another(
    owner: Holder, release: str, begun: list[int]
) -> None:
    async def run(own: Gathering) -> list[Outcome]:
        enough = [own.settle(opened(owner)) for _ in range(ENOUGH)]
        return list(await asyncio.gather(*enough, read_next(own, opened(owner))))

    assert len(gathered(run)) == ENOUGH + 1
    assert begun[0] == ENOUGH


def test_a_call_that_arrives_while_others_are_settled_is_the_next_batch(
    owner: Holder, release: str, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settling, is_given = threading.Event(), threading.Event()

    def held(calls: list[OpenCall], latecomers: object) -> list[Outcome]:
        settling.set()
        is_given.wait(PATIENCE_SECONDS)
        return settle(calls)

    async def run(own: Gathering) -> list[Outcome]:
        first = own.settle(opened(owner))
        while not settling.is_set():
            await asyncio.sleep(0.001)
        second = own.settle(opened(owner))
        is_given.set()
        return list(await asyncio.gather(first, second))

    monkeypatch.setattr(gathering, "settle", held)
    assert all(isinstance(one, Answer) for one in gathered(run))
    assert begun == [1, 1]


def test_latecomers_with_another_key_are_the_first_of_the_next_batch(
    owner: Holder, stranger: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look() -> None:
        loop = asyncio.get_running_loop()
        holders = [owner, stranger, owner, stranger]
        waiting = [(opened(holder), loop.create_future()) for holder in holders]
        arrived: deque[Waiting] = deque(waiting[:1])
        batch = Batch(arrived)
        batch.take_what_is_there()
        arrived.extend(waiting[1:])
        assert batch.latecomers({owner.row.pk}) == [waiting[2][0]]
        assert batch.waiting == [waiting[0], waiting[2]]
        assert list(arrived) == [waiting[1], waiting[3]]

    monkeypatch.setattr(gathering, "MAX_BATCH", 3)  # so that the last one stays where it is
    asyncio.run(look())
