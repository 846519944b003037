"""Predictions for many calls at once, each by the release that it asks for."""

from collections.abc import Sequence

import numpy as np
import structlog

from mnistapi.problems import UNKNOWN_RELEASE, Problem, internal_error
from model import labels, serving
from predictions.calls import OpenCall, Prediction
from predictions.images import Images

SLOW_SECONDS = 0.002  # more than a lone call takes from its arrival to its answer
# For less it is not worth to hand a call to a thread, even where a batch has a hundred such.
QUICK_SECONDS = 0.0001

log = structlog.get_logger()


def is_slow(call: OpenCall) -> bool:
    """Whether its prediction takes so long that other calls should not wait for it."""
    return seconds_of(call) > SLOW_SECONDS


def is_quick(call: OpenCall) -> bool:
    """Whether nothing has to wait for its prediction, also because it has one."""
    return call.prediction is not None or seconds_of(call) <= QUICK_SECONDS


def seconds_of(call: OpenCall) -> float:
    """What its prediction takes."""
    if call.images is None:
        return 0
    try:
        return len(call.images) * asked_for(call, serving.current()).seconds
    except serving.ReleaseNotFound:
        return 0


def predict(calls: Sequence[OpenCall]) -> None:
    """One prediction by each release for the images of all calls to it that have none yet.

    If it fails, each is tried alone, and refused if that fails as well.
    """
    waiting = [call for call in calls if call.images is not None and call.prediction is None]
    if not waiting:
        return
    try:
        for release, some in by_release(waiting).items():
            assign_predictions(release, some)
    except Exception:
        log.exception("prediction_failed")
        if len(waiting) == 1:
            refuse(waiting[0], internal_error())
            return
        for call in waiting:
            predict([call])


def by_release(calls: Sequence[OpenCall]) -> dict[serving.Release, list[OpenCall]]:
    """The calls by who is to answer them; one that asks for a release that is not is refused."""
    current = serving.current()
    chosen: dict[serving.Release, list[OpenCall]] = {}
    for call in calls:
        try:
            release = asked_for(call, current)
        except serving.ReleaseNotFound as error:
            refuse(call, Problem(UNKNOWN_RELEASE, str(error)))
        else:
            chosen.setdefault(release, []).append(call)
    return chosen


def asked_for(call: OpenCall, current: serving.Release) -> serving.Release:
    """Raises ReleaseNotFound."""
    return current if call.release is None else serving.named(call.release)


def refuse(call: OpenCall, problem: Problem) -> None:
    call.refusal, call.images = problem, None


def assign_predictions(release: serving.Release, calls: Sequence[OpenCall]) -> None:
    each = [call.images for call in calls if call.images is not None]
    together = prediction_of(release, np.concatenate(each) if len(each) > 1 else each[0])
    begin = 0
    for call, images in zip(calls, each, strict=True):
        call.prediction = together.part(slice(begin, begin + len(images)))
        begin += len(images)


def prediction_of(release: serving.Release, images: Images) -> Prediction:
    probabilities = release.predict(images)
    best = probabilities.argmax(axis=1).tolist()
    return Prediction(release.name, probabilities, best, labels.reasons(images, probabilities))
