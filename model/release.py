"""Make a candidate the current release, if it has earned it: `python -m model.release CANDIDATE`.

Candidate and current answer the same images. Where the candidate is not better, or worse in
anything else, it is refused, with all the reasons, and the command exits with 3; nothing has
changed then. Otherwise it is copied under the releases, and serving.json names it.
"""

import argparse
import math
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model import checkpoints, data, export, latency, litert, measurements, serving, serving_file
from model import strangers as unknown
from model.labels import reasons as no_digit
from model.measurements import expected_calibration_error
from model.serving import Release
from model.serving_file import Choice

Bools = NDArray[np.bool_]

SIGNIFICANT = 0.05  # what happens by chance less often than this is taken for no chance
# Goals. Where the current release misses one as well, the candidate need only be no worse.
CALIBRATED = 0.005  # expected calibration error
BUDGET = 0.3  # milliseconds an image, by LiteRT on one thread
NOISE = 1.1  # a ratio of times below this is none

REFUSED = 3  # the exit code; Python's is 1 for whatever went wrong, and 2 for wrong arguments


class Duel(NamedTuple):
    """Two releases on the same images: how many only one of them answered as it should."""

    candidate_alone: int
    current_alone: int

    @property
    def p(self) -> float:
        """McNemar's exact test, two-sided: how often chance alone divides them so unevenly."""
        n, fewer = sum(self), min(self)
        tail = sum(math.comb(n, k) for k in range(fewer + 1))
        return float(min(1.0, 2 * tail / 2**n))

    @property
    def is_won(self) -> bool:
        return self.candidate_alone > self.current_alone and self.p < SIGNIFICANT

    @property
    def is_lost(self) -> bool:
        return self.candidate_alone < self.current_alone and self.p < SIGNIFICANT


class Measured(NamedTuple):
    """One release in the comparison."""

    right: Bools  # [n], of the digits
    rejected: Bools  # [m], of the images that are none
    calibration_error: float
    milliseconds: float
    runtimes_differ: float


class Comparison(NamedTuple):
    candidate: Measured
    current: Measured

    @property
    def digits(self) -> Duel:
        return duel(self.candidate.right, self.current.right)

    @property
    def strangers(self) -> Duel:
        return duel(self.candidate.rejected, self.current.rejected)

    def objections(self) -> list[str]:
        """All reasons to refuse the candidate; none if it is to be promoted."""
        new, old, digits, strangers = *self, self.digits, self.strangers
        slower = new.milliseconds / old.milliseconds
        return [
            reason
            for is_given, reason in (
                (
                    not digits.is_won,
                    f"it is not better: of the test images {digits.candidate_alone} are right with "
                    f"it alone, {digits.current_alone} with the current one alone "
                    f"(p = {digits.p:.3g}, McNemar's exact test)",
                ),
                (
                    strangers.is_lost,
                    f"it takes more for digits that are none: {(~new.rejected).sum()} of "
                    f"{len(new.rejected)}, the current one {(~old.rejected).sum()} "
                    f"(p = {strangers.p:.3g})",
                ),
                (
                    new.calibration_error > max(CALIBRATED, old.calibration_error),
                    f"its confidence is off by {new.calibration_error:.2%}, the current one's by "
                    f"{old.calibration_error:.2%}, and {CALIBRATED:.1%} would do",
                ),
                (
                    new.milliseconds > BUDGET and slower > NOISE,
                    f"it takes {new.milliseconds:.3f} ms an image, {slower:.1f} times the current "
                    f"one's time, and the budget is {BUDGET} ms",
                ),
                (
                    new.runtimes_differ > export.TOLERANCE,
                    f"its runtimes differ by {new.runtimes_differ:.1e} in a probability, more than "
                    f"{export.TOLERANCE:.0e}",
                ),
            )
            if is_given
        ]


def duel(candidate: Bools, current: Bools) -> Duel:
    return Duel(int((candidate & ~current).sum()), int((current & ~candidate).sum()))


def compare(candidate: Path, current: Path, test: data.Digits, each: int) -> Comparison:
    """`each` images from each source that is no digit. Raises ReleaseUnusable or DataMissing."""
    folders = {"candidate": candidate, "current": current}
    exported = {role: litert.restore(str(folder)) for role, folder in folders.items()}
    images = np.concatenate([*unknown.strangers(test, each).values()])
    milliseconds = latency.milliseconds(exported)
    return Comparison(
        *(
            measured(release, folders[role], test, images, milliseconds[role])
            for role, release in exported.items()
        )
    )


def measured(
    release: Release,
    folder: Path,
    test: data.Digits,
    strangers: NDArray[np.float32],
    milliseconds: float,
) -> Measured:
    probabilities = release.predict(data.scaled(test.images))
    unnamed = no_digit(strangers, release.predict(strangers))
    restored = checkpoints.restore(str(folder))
    return Measured(
        right=measurements.answers(probabilities) == test.labels,
        rejected=np.array([reason is not None for reason in unnamed]),
        calibration_error=expected_calibration_error(
            measurements.calibration(probabilities, test.labels)
        ),
        milliseconds=milliseconds,
        runtimes_differ=export.greatest_difference(restored, release, test),
    )


def promote(candidate: Path, releases: Path) -> None:
    """Copy the candidate under the releases and make it the current one, each in one step.

    Raises FileExistsError if another release has its name, which would change what the name means.
    """
    target = releases / candidate.name
    if target != candidate:
        copy(candidate, target)
    shadow = serving_file.read(releases).shadow
    still_tried = shadow if shadow and shadow.release != candidate.name else None
    serving_file.write(releases, Choice(candidate.name, still_tried))


def copy(candidate: Path, target: Path) -> None:
    """A reader finds all of it or nothing."""
    if target.exists():
        raise FileExistsError(f"there is a release {target.name!r} already")
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copytree(candidate, unfinished)
    unfinished.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.release", description=__doc__)
    parser.add_argument("candidate", help="a folder that model.train wrote, or a name")
    try:
        candidate = serving.release_folder(parser.parse_args().candidate)
        serving_file.named(candidate.name)
        current = serving.release_folder(serving_file.read(serving.RELEASES).current)
        comparison = compare(candidate, current, data.load().test, unknown.EACH)
        objections = comparison.objections()
        if not objections:
            promote(candidate, serving.RELEASES)
    except (
        *(serving.ReleaseNotFound, serving.ReleaseUnusable, serving_file.ServingFileUnusable),
        *(data.DataMissing, FileExistsError, ValueError),
    ) as error:
        parser.error(str(error))
    if objections:
        print(f"{candidate.name} is refused, {current.name} stays:", *objections, sep="\n- ")
        sys.exit(REFUSED)
    print(f"{candidate.name} takes the place of {current.name}: {won(comparison)}")


def won(comparison: Comparison) -> str:
    digits, times = comparison.digits, comparison.candidate.milliseconds
    return (
        f"of the test images {digits.candidate_alone} are right with it alone, "
        f"{digits.current_alone} with the other alone (p = {digits.p:.3g}); {times:.3f} ms an image"
    )


if __name__ == "__main__":
    main()
