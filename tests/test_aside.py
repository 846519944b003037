import asyncio
import threading
from functools import partial

from predictions.aside import OF_ONE, Aside, Shares

PATIENCE_SECONDS = 20


def test_nobody_waits_behind_all_that_another_customer_has_brought() -> None:
    done: list[str] = []
    is_brought = threading.Event()

    def work(name: str) -> None:
        is_brought.wait(PATIENCE_SECONDS)
        done.append(name)

    async def bring() -> None:
        aside = Aside("aside")
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(aside.run(1, work, "one of many"))
            await asyncio.sleep(0.01)
            group.create_task(aside.run(2, work, "another's"))
            await asyncio.sleep(0.01)
            is_brought.set()

    asyncio.run(bring())
    assert len(done) == 21
    assert done.index("another's") <= 3


def test_work_that_fails_gives_its_turn_back() -> None:
    async def bring() -> list[BaseException | None]:
        aside = Aside("aside")
        failing = [aside.run(1, partial(int, "none")) for _ in range(2 * OF_ONE)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.gather(*failing, return_exceptions=True)

    assert [type(error) for error in asyncio.run(bring())] == [ValueError] * 2 * OF_ONE


def test_a_share_is_one_for_all_calls_of_a_customer_and_gone_behind_the_last() -> None:
    shares = Shares(3)
    first = shares.of(1)
    assert shares.of(1) is first
    assert shares.of(2) is not first
    del first
    assert not shares.in_use
