"""How long a release computes for one image, on one thread.

Processor time, not time on the clock: the two are the same where the machine has nothing else to
do, and a machine that has is no reason to refuse a release.
"""

import time
from collections.abc import Mapping

import numpy as np

from model.serving import Release

ROUNDS = 15
CALLS = 100  # of each release in a round


def milliseconds(releases: Mapping[str, Release]) -> dict[str, float]:
    """An image for each; the median of rounds in which they take turns, as machines are noisy."""
    rounds = [[calls_of(release) for release in releases.values()] for _ in range(ROUNDS)]
    medians = np.median(rounds, axis=0) / CALLS * 1_000
    return dict(zip(releases, medians.round(4).tolist(), strict=True))


def calls_of(release: Release) -> float:
    """Seconds of the processor in CALLS predictions of one image."""
    image = np.full([1, 28, 28, 1], 0.5, np.float32)
    begin = time.process_time()
    for _ in range(CALLS):
        release.predict(image)
    return time.process_time() - begin
