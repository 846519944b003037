"""What a long log costs: `python -m bench.growth --rows 10000000`.

Serves the product on two databases, one with an empty log and one with the calls of
bench/long_log.py. In each round both are called, by the largest customer, and asked for what he
sees of his usage. Prints the medians of the rounds, and of the rounds' ratios.
"""

import argparse
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median

from bench import long_log
from bench.contestants import DOORS, behind, migrated
from bench.measuring import Cell, measure
from bench.report import judged, row
from bench.samples import Samples
from bench.servers import Contestant, Site, new_site
from model.serving import RUNTIMES
from tests.serving import Server

EMPTY, LONG = "empty", "long"
CALLS = Cell("16", "single", 16)
COSTS = {
    "CPU": "CPU a call, ms",
    "CPU of PostgreSQL": "of it PostgreSQL",
    "p50": "p50 on 16 connections, ms",
    "p99": "p99 on 16 connections, ms",
}
LOOKS = 9
MAX_RATIO = 1.1  # of the CPU a call
MAX_MS = 50  # of a page
SIGN_IN = f"""
from django.test import Client
from accounts.models import User
client = Client()
client.force_login(User.objects.get(email={long_log.LARGEST!r}))
print(client.cookies["sessionid"].value)
"""


@dataclass(frozen=True)
class Subject:
    """The product on one of the logs, and what is asked of it besides calls."""

    contestant: Contestant
    pages: dict[str, urllib.request.Request]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4, help="of calls in each round")
    options.add_argument("--door", choices=DOORS, default="asgi")
    options.add_argument("--runtime", choices=RUNTIMES, default="litert")
    given = options.parse_args()
    samples = Samples()
    with new_site() as site, ExitStack() as running:
        subjects = {
            log: subject(site, log, rows, given) for log, rows in ((EMPTY, 0), (LONG, given.rows))
        }
        for one in subjects.values():
            running.enter_context(one.contestant.running())
        for _ in range(given.rounds):
            for log, one in subjects.items():
                look(log, one, site, given.seconds, samples)
    print("", *report(samples, list(subjects[LONG].pages), given.rows), sep="\n")


def subject(site: Site, log: str, rows: int, given: argparse.Namespace) -> Subject:
    server = migrated(site, log, given.runtime)
    long_log.fill(server.database_url, rows)
    return Subject(behind(given.door, server), pages(server))


def pages(server: Server) -> dict[str, urllib.request.Request]:
    """What the largest customer asks for, with a test key as his long log is of those."""
    key = server.manage("create_key", long_log.LARGEST)
    session = server.manage("shell", "--verbosity=0", "--command", SIGN_IN)
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    year = f"from={tomorrow - timedelta(days=365)}&to={tomorrow}"
    by_key, by_session = {"Authorization": f"Bearer {key}"}, {"Cookie": f"sessionid={session}"}
    asked = {
        "/dashboard/usage/": by_session,
        "/v1/account": by_key,
        "/v1/usage": by_key,
        f"/v1/usage?{year}": by_key,
    }
    return {
        path: urllib.request.Request(server.url + path, headers=headers)
        for path, headers in asked.items()
    }


def look(log: str, one: Subject, site: Site, seconds: int, samples: Samples) -> None:
    figures = measure(one.contestant, CALLS, site, seconds, warm_up=1)
    figures |= {path: milliseconds(page) for path, page in one.pages.items()}
    samples.add(log, CALLS.name, figures)
    print(f"{log:<6}", ", ".join(f"{name} {figure:,.2f}" for name, figure in figures.items()))


def milliseconds(page: urllib.request.Request) -> float:
    """The median of some looks, after a first one."""
    times = []
    for _ in range(LOOKS + 1):
        began = time.perf_counter()
        with urllib.request.urlopen(page, timeout=60) as response:
            response.read()
            assert response.url == page.full_url, f"{page.full_url} leads to {response.url}"
        times.append((time.perf_counter() - began) * 1000)
    return median(times[1:])


def report(samples: Samples, paths: list[str], rows: int) -> Iterator[str]:
    """Markdown, and then what was to be reached."""
    yield row(["", "empty log", f"{rows:,} rows", "ratio"])
    yield row(["---"] * 4)
    for quantity, name in {**COSTS, **{path: f"{path}, ms" for path in paths}}.items():
        figures = [samples.median(log, CALLS.name, quantity) for log in (EMPTY, LONG)]
        figures.append(growth(samples, quantity))
        yield row([name, *(f"{figure:.2f}" for figure in figures)])
    yield ""
    yield judged("CPU a call, ratio", growth(samples, "CPU"), MAX_RATIO)
    for path in paths:
        yield judged(f"{path}, ms", samples.median(LONG, CALLS.name, path), MAX_MS)


def growth(samples: Samples, quantity: str) -> float | None:
    return samples.ratio(LONG, CALLS.name, quantity, EMPTY, CALLS.name)


if __name__ == "__main__":
    main()
