"""Where calls wait that take long, so that nobody waits behind all those of another customer."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from weakref import WeakValueDictionary

OF_ONE = 2  # calls of one customer that stand before a thread; his others wait for these


class Shares:
    """A semaphore for each customer: so much he may have at a time."""

    def __init__(self, of_one: int) -> None:
        self.of_one = of_one
        self.in_use: WeakValueDictionary[int, asyncio.Semaphore] = WeakValueDictionary()

    def of(self, customer_id: int) -> asyncio.Semaphore:
        """To be held while it is waited for or had: it is the same one for all who hold it."""
        return self.in_use.setdefault(customer_id, asyncio.Semaphore(self.of_one))


class Aside:
    """One thread for work that would hold up the event loop, and the turns at it."""

    def __init__(self, name: str) -> None:
        self.thread = ThreadPoolExecutor(1, name)
        self.shares = Shares(OF_ONE)

    async def run(self, customer_id: int, work: Callable[..., None], *arguments: Any) -> None:
        loop, share = asyncio.get_running_loop(), self.shares.of(customer_id)
        async with share:
            await loop.run_in_executor(self.thread, work, *arguments)
