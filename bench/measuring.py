"""One measurement: what a contestant does under a load, and what that takes."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from bench import processes
from bench.servers import Contestant, Site

LEAD_SECONDS = 1
BUSY_CONNECTIONS = 16
BUSY_SECONDS = 2


@dataclass(frozen=True)
class Cell:
    """A load: requests of a kind, each of so many images, on so many connections.

    `beside` is the kind that a second load sends meanwhile, on one connection.
    """

    name: str
    kind: str
    connections: int
    images: int = 1
    beside: str = ""

    def suits(self, contestant: Contestant) -> bool:
        return {self.kind, self.beside or self.kind} <= contestant.requests.keys()


def footprint(contestant: Contestant) -> dict[str, float]:
    """Seconds from start to answer, and megabytes (PSS) of all processes once they have worked.

    Of a contestant alone, as libraries that others have loaded too would count by their share.
    """
    with contestant.running() as ready:
        contestant.load("single", BUSY_CONNECTIONS, BUSY_SECONDS)
        return {"ready": ready, "MB": processes.megabytes(contestant.process)}


def measure(
    contestant: Contestant, cell: Cell, site: Site, seconds: int, warm_up: int
) -> dict[str, float]:
    """Calls and images a second; p50 and p99 in ms; CPU in ms a call. Raises LoadFailed."""
    contestant.load(cell.kind, cell.connections, warm_up)
    with second_load(contestant, cell.beside, seconds):
        own, database = (
            processes.cpu_seconds(contestant.process),
            processes.cpu_seconds(site.postgres),
        )
        done = contestant.load(cell.kind, cell.connections, seconds)
        own = processes.cpu_seconds(contestant.process) - own
        database = processes.cpu_seconds(site.postgres) - database
    return {
        "calls/s": done.calls / done.seconds,
        "images/s": done.calls / done.seconds * cell.images,
        "p50": done.p50_ms,
        "p99": done.p99_ms,
        "CPU": (own + database) / done.calls * 1000,
        "CPU of PostgreSQL": database / done.calls * 1000,
    }


@contextmanager
def second_load(contestant: Contestant, kind: str, seconds: int) -> Iterator[None]:
    """Runs from before until after what is done within it; raises LoadFailed."""
    if not kind:
        yield
        return
    with ThreadPoolExecutor() as pool:
        second = pool.submit(contestant.load, kind, 1, seconds + 2 * LEAD_SECONDS)
        time.sleep(LEAD_SECONDS)
        yield
        second.result()
