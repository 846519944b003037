"""What a settled call is answered with, as bytes."""

import orjson

from billing import rating, standing
from predictions.settlement import Receipt


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
    probabilities = receipt.prediction.probabilities
    digits = probabilities.argmax(axis=1).tolist()
    return [
        {"digit": digit, "confidence": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities, strict=True)
    ]


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
