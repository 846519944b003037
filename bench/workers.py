"""How two workers share what comes: `python -m bench.workers`.

Prints how many of the connections that are opened together each of them has, and the page faults of
each behind calls of a hundred images, which are memory that was given back to the system.
"""

import argparse
import threading
import time

import psutil

from bench.contestants import CONTESTANTS
from bench.servers import Contestant, new_site

SECONDS = 1
SETTLED_SECONDS = 0.5  # after which all connections of a load are there


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--connections", type=int, nargs="+", default=[16, 64])
    given = options.parse_args()
    with new_site() as site:
        product = CONTESTANTS["asgi-litert"](site)
        with product.running():
            product.load("single", 1, SECONDS)
            for connections in given.connections:
                for _ in range(given.rounds):
                    print(f"{connections} connections:", *shares(product, connections), flush=True)
            for _ in range(given.rounds):
                print("page faults a call of .npy:", *faults(product), flush=True)


def shares(product: Contestant, connections: int) -> list[int]:
    """Of so many connections, how many each worker has."""
    load = threading.Thread(target=product.load, args=["single", connections, SECONDS])
    load.start()
    time.sleep(SETTLED_SECONDS)
    counts = [len(established(worker)) for worker in product.process.children()]
    load.join()
    return sorted(counts)


def established(worker: psutil.Process) -> list[object]:
    return [one for one in worker.net_connections("tcp") if one.status == psutil.CONN_ESTABLISHED]


def faults(product: Contestant) -> list[int]:
    """Of each worker, by the calls that it has if both have as many."""
    workers = product.process.children()
    before = [minor_faults(worker) for worker in workers]
    calls = product.load("npy", 16, SECONDS).calls
    after = [minor_faults(worker) for worker in workers]
    return [2 * (end - begin) // calls for begin, end in zip(before, after, strict=True)]


def minor_faults(worker: psutil.Process) -> int:
    """Since it was started, as `/proc` has it (proc_pid_stat(5), field 10)."""
    with open(f"/proc/{worker.pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[7])


if __name__ == "__main__":
    main()
