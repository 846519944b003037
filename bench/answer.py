"""A release in one of our runtimes, for bench.model: `python -m bench.answer RUNTIME RELEASE`.

Each line of standard input is "IMAGES CALLS"; the answer is the seconds that so many calls with so
many images took, and the first probabilities.
"""

import json
import sys
import time

import numpy as np

from model.serving import restored


def main() -> None:
    runtime, name = sys.argv[1:]
    release = restored(name, runtime)
    for line in sys.stdin:
        count, calls = map(int, line.split())
        images = np.random.default_rng(1).random([count, 28, 28, 1], np.float32)
        begin = time.perf_counter()
        for _ in range(calls):
            probabilities = release.predict(images)
        seconds = time.perf_counter() - begin
        print(json.dumps([seconds, probabilities[0].tolist()]), flush=True)


if __name__ == "__main__":
    main()
