"""What is to be done later: renewals, finalisations, collections, deliveries."""

import heapq
from collections.abc import Callable
from typing import NamedTuple

from sandbox.stripe.store import Json, Store, new_id


class Work(NamedTuple):
    due: int
    number: int  # of two that are due at once, the first that was noted comes first
    id: str


class Agenda:
    """A heap over the `work` in the store, so that it outlives the process as all else does."""

    def __init__(self, store: Store, woken: Callable[[], None]) -> None:
        self.store = store
        self.woken = woken
        self.heap = [Work(row["due"], row["number"], row["id"]) for row in store.all("work")]
        heapq.heapify(self.heap)
        self.number = max((work.number for work in self.heap), default=0)

    def add(self, due: int, do: str, about: str) -> None:
        """`do` is a name in `duties.DUTIES`, `about` the id of what it is done to."""
        self.number += 1
        work = Work(due, self.number, new_id("work"))
        row = {"object": "work", **work._asdict(), "do": do, "about": about}
        self.store.put(row)
        heapq.heappush(self.heap, work)
        self.woken()

    def take(self, until: int) -> Json | None:
        """The next work that is due by then, which is struck off."""
        if not self.heap or self.heap[0].due > until:
            return None
        work = heapq.heappop(self.heap)
        row = self.store.kinds["work"][work.id]
        self.store.delete("work", work.id)
        return row
