"""The product against what people would use instead: `python -m bench.pace`.

In each round every contestant is measured under each load, one contestant after the other, so that
a ratio is of two things that were measured within a minute. Prints each measurement, then the
medians of the rounds as a table, with the medians of the rounds' ratios to the blog's app in
brackets ("beside 10 MB": to the same without). First, each is started alone, for its memory and
how soon it answers.
"""

import argparse
from contextlib import ExitStack

from bench.bodies import BATCH
from bench.contestants import CONTESTANTS
from bench.measuring import Cell, footprint, measure
from bench.report import ALONE, BASIS, TARGETS, table
from bench.samples import Samples
from bench.servers import Contestant, Site, new_site

CELLS = {
    cell.name: cell
    for cell in (
        Cell("1", "single", 1),
        Cell("16", "single", 16),
        Cell("beside", "single", 16, beside="large"),
        Cell("64", "single", 64),
        Cell("json", "json", 16, images=BATCH),
        Cell("npy", "npy", 16, images=BATCH),
    )
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4, help="of each measurement")
    options.add_argument("--warm-up", type=int, default=1, help="seconds before each measurement")
    options.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    options.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS))
    given = options.parse_args()
    samples = Samples()
    with new_site() as site:
        contestants = {name: CONTESTANTS[name](site) for name in given.only}
        for _ in range(given.rounds):
            weigh(contestants, samples)
        with ExitStack() as servers:
            for contestant in contestants.values():
                servers.enter_context(contestant.running())
            for _ in range(given.rounds):
                run_round(given, contestants, site, samples)
    report(contestants, samples, given)


def weigh(contestants: dict[str, Contestant], samples: Samples) -> None:
    for name, contestant in contestants.items():
        note(samples, name, ALONE, footprint(contestant))


def run_round(
    given: argparse.Namespace, contestants: dict[str, Contestant], site: Site, samples: Samples
) -> None:
    for cell in (CELLS[name] for name in given.cells):
        for name, contestant in contestants.items():
            if cell.suits(contestant):
                figures = measure(contestant, cell, site, given.seconds, given.warm_up)
                note(samples, name, cell.name, figures)


def note(samples: Samples, contestant: str, cell: str, figures: dict[str, float]) -> None:
    samples.add(contestant, cell, figures)
    texts = [f"{quantity} {figure:,.2f}" for quantity, figure in figures.items()]
    print(f"{contestant:<16}{cell:<7}", ", ".join(texts), flush=True)


def report(contestants: dict[str, Contestant], samples: Samples, given: argparse.Namespace) -> None:
    titles = {name: contestant.title for name, contestant in contestants.items()}
    print(f"\nMedians of {given.rounds} rounds of {given.seconds} s.")
    print("", *table(titles, samples), "", sep="\n")
    if BASIS in contestants:
        print(*(target.text(samples) for target in TARGETS), sep="\n")


if __name__ == "__main__":
    main()
