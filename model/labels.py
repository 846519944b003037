"""What the numbers of a network mean to whoever sent the images: a digit, or why there is none.

Whoever serves another model replaces this file: it names the field of the answer, the labels and
the reasons, and nothing outside model/ knows them.
"""

import numpy as np
from numpy.typing import NDArray

FIELD = "digit"  # of a prediction, in the answers of the API
LABELS = list(range(10))  # of the columns of the probabilities

BLANK = "blank"
UNKNOWN = "not_a_digit"
REASONS = {
    BLANK: "there is no ink",
    UNKNOWN: "it is more likely to be something else than any digit",
}

# Every image of MNIST has a pixel of 0.99 or more; noise of a scanner on white paper has not this.
LEAST_INK = 0.1
# A network that knows what it does not know gives its images rows that sum to the probability that
# they are digits; the rows of another sum to 1.
LEAST_PROBABILITY = 0.5


def reasons(images: NDArray[np.float32], probabilities: NDArray[np.float32]) -> list[str | None]:
    """Why each of the images [n, 28, 28, 1] with these probabilities [n, 10] has no label.

    None for those that have one. n is 1 or more.
    """
    inks: list[float] = images.reshape(len(images), -1).max(axis=1).tolist()
    sums: list[float] = probabilities.sum(axis=1).tolist()
    return [
        BLANK if ink < LEAST_INK else UNKNOWN if total < LEAST_PROBABILITY else None
        for ink, total in zip(inks, sums, strict=True)
    ]
