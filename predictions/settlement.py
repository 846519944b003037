"""From decoded calls to settled ones: predict for all at once, then charge and log all at once.

There is no reservation. What crashes before the commit has cost nobody anything, and nothing is
answered before it: a 200 is the receipt of a committed row.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt
import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from accounts.models import APIKey
from billing import ledger
from billing.ledger import Verdict
from mnistapi.problems import Problem, internal_error, outcome_unknown
from model import serving
from predictions.images import Images
from predictions.models import Call

log = structlog.get_logger()


@dataclass(frozen=True)
class Prediction:
    """Probabilities [n, 10] of the images of a call, and the release that gave them."""

    release: str
    probabilities: npt.NDArray[np.float32]


@dataclass
class OpenCall:
    """A call that is authenticated and not settled: with images, or with what refuses it.

    `began` is in seconds of `time.perf_counter`.
    """

    id: UUID
    key: APIKey
    began: float
    images: Images | None = None
    prediction: Prediction | None = None
    refusal: Problem | None = None


@dataclass(frozen=True)
class Receipt:
    """What a settled call is answered with."""

    id: UUID
    livemode: bool
    prediction: Prediction
    verdict: Verdict


def settle(calls: Sequence[OpenCall]) -> list[Receipt | Problem]:
    """Answer, charge and log the calls, and give each its receipt or its refusal.

    Raises django.db.Error when the database does not take them: then none of them has happened.
    Raises a problem when that cannot be known.
    """
    predict([call for call in calls if call.images is not None])
    now = datetime.now(UTC)
    written = False
    try:
        with transaction.atomic():  # the totals and the log agree because they commit together
            verdicts = ledger.charge([charge_of(call, now) for call in calls])
            Call.objects.bulk_create(map(row_of, calls, verdicts))
            written = True
    except (OperationalError, InterfaceError):
        # A connection that is lost after the commit left says nothing of how it ended.
        if not written or not were_committed(calls):
            raise
    return list(map(outcome_of, calls, verdicts))


def were_committed(calls: Sequence[OpenCall]) -> bool:
    """Whether the log holds the calls, asked on a new connection; a problem if none opens."""
    connection.close()
    try:
        return Call.objects.filter(pk__in=[call.id for call in calls]).exists()
    except (OperationalError, InterfaceError) as error:
        raise outcome_unknown() from error


def predict(calls: Sequence[OpenCall]) -> None:
    """One prediction for the images of all calls. If it fails, each of them is refused."""
    if not calls:
        return
    images = [call.images for call in calls if call.images is not None]
    ends = np.cumsum([len(some) for some in images])[:-1]
    try:
        release = serving.current()
        probabilities = release.predict(np.concatenate(images))
    except Exception:
        log.exception("prediction_failed")
        for call in calls:
            call.refusal = internal_error()
        return
    for call, part in zip(calls, np.split(probabilities, ends), strict=True):
        call.prediction = Prediction(release.name, part)


def charge_of(call: OpenCall, now: datetime) -> ledger.Charge:
    return ledger.Charge(
        customer_id=call.key.customer_id,
        key_id=call.key.pk,
        livemode=call.key.livemode,
        release=call.prediction.release if call.prediction else "",
        units=len(call.prediction.probabilities) if call.prediction else 0,
        at=now,
    )


def row_of(call: OpenCall, verdict: Verdict) -> Call:
    refusal = call.refusal or verdict.refusal
    return Call(
        id=call.id,
        at=verdict.at,
        customer_id=call.key.customer_id,
        key_id=call.key.pk,
        release=verdict.release,
        units=verdict.units,
        status=refusal.type.status if refusal else 200,
        problem=refusal.type.code if refusal else "",
        latency_ms=(time.perf_counter() - call.began) * 1000,
    )


def outcome_of(call: OpenCall, verdict: Verdict) -> Receipt | Problem:
    if refusal := call.refusal or verdict.refusal:
        return refusal
    assert call.prediction is not None  # a call has one of the two once it is predicted
    return Receipt(call.id, call.key.livemode, call.prediction, verdict)
