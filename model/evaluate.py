"""How many of the 10,000 test images a release recognises: `python -m model.evaluate RELEASE`."""

import argparse
from typing import NamedTuple

import numpy as np

from model import checkpoints, data, serving


class Accuracy(NamedTuple):
    correct: list[int]  # of each digit, 0 to 9
    total: list[int]

    @property
    def share(self) -> float:
        return sum(self.correct) / sum(self.total)


def accuracy(release: str) -> Accuracy:
    """Of a release by name or folder; raises what `checkpoints.restore` and `data.load` raise."""
    return measure(checkpoints.restore(release), data.load().test)


def measure(release: serving.Release, digits: data.Digits) -> Accuracy:
    answers = release.predict(data.scaled(digits.images)).argmax(axis=1)  # [n]
    right = digits.labels[answers == digits.labels]
    return Accuracy(
        correct=np.bincount(right, minlength=10).tolist(),
        total=np.bincount(digits.labels, minlength=10).tolist(),
    )


def report(name: str, result: Accuracy) -> str:
    rows = [(name, sum(result.correct), sum(result.total))]
    rows += [(str(digit), *counts) for digit, counts in enumerate(zip(*result, strict=True))]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{n:{width}}  {c / t:7.2%}  {c:5} / {t}" for n, c, t in rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.evaluate", description=__doc__)
    parser.add_argument("release", help="a name under model/releases, or a folder")
    release = parser.parse_args().release
    try:
        print(report(serving.release_folder(release).name, accuracy(release)))
    except (serving.ReleaseNotFound, serving.ReleaseUnusable, data.DataMissing) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
