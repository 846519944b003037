"""What a settled call is answered with, as bytes."""

import orjson

from billing import rating, standing
from model import labels
from predictions.calls import Receipt


def answer(receipt: Receipt) -> bytes:
    """`POST /v1/predictions`: the predictions, the release that made them, and what they cost."""
    body = {
        "id": receipt.id,
        "release": receipt.prediction.release,
        "predictions": predictions(receipt),
        "usage": usage(receipt),
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def predictions(receipt: Receipt) -> list[dict[str, object]]:
    """Of each image the label or why there is none, and how likely the most likely one is."""
    prediction = receipt.prediction
    return [
        {**label(best, reason), "confidence": row[best], "probabilities": row}
        for best, reason, row in zip(
            prediction.best, prediction.reasons, prediction.probabilities, strict=True
        )
    ]


def label(best: int, reason: str | None) -> dict[str, object]:
    if reason is None:
        return {labels.FIELD: labels.LABELS[best]}
    return {labels.FIELD: None, "reason": reason}


def usage(receipt: Receipt) -> dict[str, object]:
    """What the call cost, and where its account stands behind it. Money is exact."""
    verdict, livemode = receipt.verdict, receipt.livemode
    return {
        "units": verdict.units,
        "cost": rating.text(verdict.cost),
        "currency": rating.CURRENCY,
        "livemode": livemode,
        **standing.of_the_month(verdict.account, livemode, verdict.spent),
    }


def blog_answer(receipt: Receipt) -> bytes:
    """`POST /`: ten probabilities, bare, as the blog post's app gave them."""
    (row,) = receipt.prediction.probabilities
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
