"""What a body is read to: float32 [n, 28, 28, 1] in 0..1, ink = 1, and what is said beside it."""

from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from billing.plans import PLANS
from mnistapi.problems import (
    INVALID_INK,
    INVALID_RELEASE,
    TOO_MANY_IMAGES,
    WRONG_SHAPE,
    Problem,
)

Images = npt.NDArray[np.float32]

SIDE = 28
PIXELS = SIDE * SIDE
# The most that any plan allows; a plan's own limit is for the ledger to hold.
MAX_IMAGES = max(plan.max_images for plan in PLANS.values())

IMAGE_FIELDS = {"image", "images"}
INKS = {"dark", "light"}
MAX_RELEASE_LENGTH = 100  # of a name, as the log keeps it


class Sent(NamedTuple):
    """What a body asks for: its images, and the release that is to answer if it names one."""

    images: Images
    release: str | None = None


class Options(NamedTuple):
    """What may be said beside the images."""

    ink: str | None = None
    release: str | None = None


def options(ink: Any, release: Any) -> Options:
    """What was said, or the problem with it."""
    if ink is not None and (not isinstance(ink, str) or ink not in INKS):
        raise Problem(INVALID_INK, '"ink" is "dark" (on light paper) or "light" (on dark).')
    is_name = isinstance(release, str) and 0 < len(release) <= MAX_RELEASE_LENGTH
    if release is not None and not is_name:
        raise Problem(
            INVALID_RELEASE, f'"release" is a name of at most {MAX_RELEASE_LENGTH} characters.'
        )
    return Options(ink, release)


def refuse_more_than_any_plan_allows(number: int) -> None:
    if number > MAX_IMAGES:
        raise Problem(TOO_MANY_IMAGES, f"{number} images were sent; {MAX_IMAGES} may be.")


def shaped(images: Images) -> Images:
    return images.reshape(-1, SIDE, SIDE, 1)


def wrong_shape(detail: str) -> NoReturn:
    raise Problem(WRONG_SHAPE, detail)
