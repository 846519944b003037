"""How a release answers the 10,000 test images: `python -m model.evaluate RELEASE`.

A digit that is taken for none counts as an error.
"""

import argparse
from typing import Any

from model import card, checkpoints, data, serving
from model.measurements import REJECTED


def report(measured: dict[str, Any]) -> str:
    """Of what `card.of_digits` measured: the share of all, and of each digit, that are right."""
    confusion = measured["confusion"]
    rows = [(str(digit), row[digit], sum(row)) for digit, row in enumerate(confusion)]
    rows = [("all", measured["accuracy"]["right"], measured["accuracy"]["total"]), *rows]
    lines = [f"{name:3}  {right / total:7.2%}  {right:5} / {total}" for name, right, total in rows]
    low, high = measured["accuracy"]["interval"]
    return "\n".join(
        [
            *lines,
            f"95 % interval {low:.2%} to {high:.2%}",
            f"taken for no digit: {sum(row[REJECTED] for row in confusion)}",
            f"expected calibration error: {measured['calibration']['expected_error']:.2%}",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.evaluate", description=__doc__)
    parser.add_argument("release", help="a name under model/releases, or a folder")
    try:
        release, test = checkpoints.restore(parser.parse_args().release), data.load().test
    except (serving.ReleaseNotFound, serving.ReleaseUnusable, data.DataMissing) as error:
        parser.error(str(error))
    probabilities = release.predict(data.scaled(test.images))
    print(f"{release.name}\n{report(card.of_digits(probabilities, test))}")


if __name__ == "__main__":
    main()
