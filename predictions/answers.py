"""What a settled call is answered with, as bytes."""

import orjson

from predictions.settlement import Receipt


def answer(receipt: Receipt) -> bytes:
    """`POST /v1/predictions`: the predictions, the release that made them, and what they cost."""
    account = receipt.verdict.account
    body = {
        "id": str(receipt.id),
        "release": receipt.prediction.release,
        "predictions": predictions(receipt),
        "usage": {
            "units": receipt.verdict.units,
            "livemode": receipt.livemode,
            "period": f"{account.period:%Y-%m}",
            "period_units": account.units(receipt.livemode),
        },
    }
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def predictions(receipt: Receipt) -> list[dict[str, object]]:
    return [
        {"digit": row.argmax(), "confidence": row.max(), "probabilities": row}
        for row in receipt.prediction.probabilities
    ]


def blog_answer(receipt: Receipt) -> bytes:
    """`POST /`: ten probabilities, bare, as the blog post's app gave them."""
    (row,) = receipt.prediction.probabilities
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
