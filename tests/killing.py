"""The product with a death in it: a worker kills itself where a file says.

gunicorn loads `application("asgi")` or `application("wsgi")` of this module. The file that
KILL_POINT names holds one of the points of the door: the worker that comes to it takes the file
away and dies on the spot, as by `kill -9`.
"""

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

# Functions, by the names of what stands before and after them.
SHARED = {
    "look-up": "accounts.models:APIKeyManager.look_up",
    "decoding": "predictions.endpoints:Endpoint.fill",
    "prediction": "predictions.settlement:assign_predictions",
    "BEGIN": "mnistapi.transactions:Transaction.begin",
    "the books are open": "billing.ledger:opened",
    "reading what is stored": "predictions.idempotency:stored_answers",
    "deciding": "billing.ledger:decide",
    "a call of the batch": "predictions.settlement:Batch.settle",
    "writing its answer": "predictions.settlement:Batch.answer",
    "storing its answer": "predictions.idempotency:storing",
    "counting": "billing.ledger:counting",
    "COMMIT": "mnistapi.transactions:Transaction.commit",
    "the books": "predictions.settlement:enter_in_the_books",
}
OF_DOOR = {
    "asgi": {
        "calls that came late": "predictions.gathering:Batch.latecomers",
        "the hand-over": "predictions.gathering:answer",
    },
    "wsgi": {
        "the head of the answer": "gunicorn.http.wsgi:Response.send_headers",
        "the body of the answer": "gunicorn.http.wsgi:Response.write",
    },
}
IN_COMMIT = {f"{milliseconds} ms into COMMIT": milliseconds for milliseconds in (0.3, 1, 3)}
IN_BATCH = ["before the second customer of a batch", "after a batch of several customers"]
MESSAGES = [
    f"{side} http.response.{part}" for part in ("start", "body") for side in ("before", "after")
]


def points(door: str) -> list[str]:
    names = [*SHARED, *OF_DOOR[door]]
    around = [f"{side} {name}" for name in names for side in ("before", "after")]
    return [*around, *IN_COMMIT, *(IN_BATCH + MESSAGES if door == "asgi" else [])]


def application(door: str) -> Any:
    loaded = importlib.import_module(f"mnistapi.{door}").application
    for point, function in (SHARED | OF_DOOR[door]).items():
        put_around(function, point)
    put_into_commit()
    put_into_batch()
    put_around_messages()
    return loaded


def is_at(point: str) -> bool:
    """Whether this is where to die; True once, for one process."""
    file = Path(os.environ["KILL_POINT"])
    try:
        if file.read_text() != point:
            return False
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def come_to(point: str) -> None:
    if is_at(point):
        die()


def die(after_ms: float = 0) -> None:
    time.sleep(after_ms / 1000)
    os.kill(os.getpid(), signal.SIGKILL)


def put_around(path: str, point: str) -> None:
    module, _, name = path.rpartition("." if path.count(".", path.index(":")) else ":")
    owner, function = resolve_name(module), resolve_name(path)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        come_to(f"before {point}")
        result = function(*args, **kwargs)
        come_to(f"after {point}")
        return result

    setattr(owner, name, wrapped)


def put_into_commit() -> None:
    from mnistapi.transactions import Transaction

    commit = Transaction.commit

    def wrapped(*args: Any) -> None:
        for point, milliseconds in IN_COMMIT.items():
            if is_at(point):
                threading.Thread(target=die, args=[milliseconds]).start()
        commit(*args)

    Transaction.commit = wrapped  # type: ignore[method-assign]


def put_into_batch() -> None:
    """Where only a batch of several customers comes."""
    from predictions import settlement

    settle, settle_in = settlement.Batch.settle, settlement.settle_in

    def settle_one(batch: settlement.Batch, call: settlement.OpenCall) -> Any:
        if {row["customer_id"] for row in batch.rows} - {call.key.customer_id}:
            come_to(IN_BATCH[0])
        return settle(batch, call)

    def settle_all(transaction: Any, calls: Any, latecomers: Any) -> Any:
        outcomes = settle_in(transaction, calls, latecomers)
        if len({call.key.customer_id for call in calls}) > 1:
            come_to(IN_BATCH[1])
        return outcomes

    settlement.Batch.settle = settle_one  # type: ignore[method-assign]
    settlement.settle_in = settle_all


def put_around_messages() -> None:
    """What an answer is sent by through the second door."""
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle as Cycle

    send: Callable[..., Any] = Cycle.send

    async def wrapped(cycle: Any, message: Any) -> None:
        is_call = cycle.scope["method"] == "POST"
        if is_call:
            come_to(f"before {message['type']}")
        await send(cycle, message)
        if is_call:
            come_to(f"after {message['type']}")

    Cycle.send = wrapped  # type: ignore[method-assign]
