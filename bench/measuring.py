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
GROWTH = 1.01


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
    """Seconds from start to answer, and megabytes (PSS) of all processes once all have worked.

    Of a contestant alone, as libraries that others have loaded too would count by their share.
    """
    with contestant.running() as ready:
        return {"ready": ready, "MB": megabytes_at_work(contestant)}


def megabytes_at_work(contestant: Contestant) -> float:
    """Once it grows no more: the second worker may be loading still when the first one answers."""
    megabytes, grown = 0.0, True
    while grown:
        contestant.load("single", BUSY_CONNECTIONS, BUSY_SECONDS)
        before, megabytes = megabytes, processes.megabytes(contestant.process)
        grown = megabytes > before * GROWTH
    return megabytes


def measure(
    contestant: Contestant, cell: Cell, site: Site, seconds: int, warm_up: int
) -> dict[str, float]:
    """Calls and images a second; p50 and p99 in ms; CPU in ms a call. Raises LoadFailed."""
    servers = contestant.process, site.postgres
    contestant.load(cell.kind, cell.connections, warm_up)
    contestant.work_off()  # or the first answers would wait for it
    with second_load(contestant, cell.beside, seconds):
        before = [processes.cpu_seconds(server) for server in servers]
        done = contestant.load(cell.kind, cell.connections, seconds)
        after = [processes.cpu_seconds(server) for server in servers]
    contestant.work_off()  # or the next contestant would share the machine with it
    own, database = (
        (end - begin) / done.calls * 1000 for begin, end in zip(before, after, strict=True)
    )
    return {
        "calls/s": done.calls / done.seconds,
        "images/s": done.calls / done.seconds * cell.images,
        "p50": done.p50_ms,
        "p99": done.p99_ms,
        "CPU": own + database,
        "CPU of PostgreSQL": database,
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
