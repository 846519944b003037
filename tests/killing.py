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

# Points before and after functions, in the order in which a call comes to them.
SHARED = {
    "before look-up": "accounts.models:APIKeyManager.look_up",
    "before decoding": "predictions.endpoints:Endpoint.fill",
    "before prediction": "predictions.predicting:assign_predictions",
    "before the books": "predictions.settlement:enter_in_the_books",
    "before BEGIN": "mnistapi.transactions:Transaction.begin",
    "after BEGIN": "mnistapi.transactions:Transaction.begin",
    "before reading what is stored": "predictions.idempotency:stored_answers",
    "before a call of the batch": "predictions.settlement:Batch.settle",
    "before deciding": "billing.ledger:decide",
    "before writing its answer": "predictions.settlement:Batch.answer",
    "before storing its answer": "predictions.idempotency:storing",
    "after a call of the batch": "predictions.settlement:Batch.settle",
    "before counting": "billing.ledger:counting",
    "before COMMIT": "mnistapi.transactions:Transaction.commit",
    "after COMMIT": "mnistapi.transactions:Transaction.commit",
    "after the books": "predictions.settlement:enter_in_the_books",
}
OF_DOOR = {
    "asgi": {
        "before calls that came late": "predictions.gathering:Batch.latecomers",
        "before the hand-over": "predictions.gathering:Gathering.answer",
        "after the hand-over": "predictions.gathering:Gathering.answer",
    },
    "wsgi": {
        "before the head of the answer": "gunicorn.http.wsgi:Response.send_headers",
        "after the head of the answer": "gunicorn.http.wsgi:Response.send_headers",
        "after the body of the answer": "gunicorn.http.wsgi:Response.write",
    },
}
IN_COMMIT = {f"{milliseconds} ms into COMMIT": milliseconds for milliseconds in (0.3, 1, 3)}
IN_BATCH = ["before the second customer of a batch", "after a batch of several customers"]
MESSAGES = [
    f"{side} http.response.{part}" for part in ("start", "body") for side in ("before", "after")
]


def points(door: str) -> list[str]:
    of_asgi = IN_BATCH + MESSAGES if door == "asgi" else []
    return [*SHARED, *IN_COMMIT, *OF_DOOR[door], *of_asgi]


def application(door: str) -> Any:
    loaded = importlib.import_module(f"mnistapi.{door}").application
    for point, function in (SHARED | OF_DOOR[door]).items():
        put(point, function)
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


def put(point: str, path: str) -> None:
    """Before or after the function at that path."""
    function = resolve_name(path)
    owner, _, name = path.replace(":", ".").rpartition(".")
    is_before = point.startswith("before")

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if is_before:
            come_to(point)
        result = function(*args, **kwargs)
        if not is_before:
            come_to(point)
        return result

    setattr(resolve_name(owner), name, wrapped)


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
    from predictions.calls import OpenCall

    settle, settle_in = settlement.Batch.settle, settlement.settle_in

    def settle_one(batch: settlement.Batch, call: OpenCall) -> Any:
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
