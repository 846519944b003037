"""`python -m sandbox.stripe --port N`: the local Stripe alone, until it is interrupted."""

import argparse
import signal
import threading
from pathlib import Path

from sandbox.stripe.server import LocalStripe


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="an SQLite file in which it remembers all")
    given = parser.parse_args()
    ended = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: ended.set())
    stripe = LocalStripe(given.port, given.data).start()
    print(f"The local Stripe listens at {stripe.url}", flush=True)
    ended.wait()
    stripe.stop()


if __name__ == "__main__":
    main()
