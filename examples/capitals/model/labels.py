"""What the numbers of the network mean: a capital letter, or why there is none."""

import string

import numpy as np
from numpy.typing import NDArray

FIELD = "letter"  # of a prediction, in the answers of the API
LABELS = list(string.ascii_uppercase)  # of the columns of the probabilities

BLANK = "blank"
UNKNOWN = "not_a_letter"
REASONS = {
    BLANK: "there is no ink",
    UNKNOWN: "it is more likely to be something else than any letter",
}

LEAST_INK = 0.1
LEAST_PROBABILITY = 0.5


def reasons(images: NDArray[np.float32], probabilities: NDArray[np.float32]) -> list[str | None]:
    """Why each of the images [n, 28, 28, 1] with these probabilities [n, 26] has no label.

    None for those that have one. This network takes whatever has ink for a letter that it knows,
    but a letter that it is less than half sure of is none.
    """
    inks: list[float] = images.reshape(len(images), -1).max(axis=1).tolist()
    best: list[float] = probabilities.max(axis=1).tolist()
    return [
        BLANK if ink < LEAST_INK else UNKNOWN if sure < LEAST_PROBABILITY else None
        for ink, sure in zip(inks, best, strict=True)
    ]
