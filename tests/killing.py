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
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

# Points before and after functions, in the order in which a call comes to them.
SHARED = {
    "before look-up": "accounts.models:APIKeyManager.look_up",
    "before decoding": "predictions.endpoints:Endpoint.fill",
    "before prediction": "predictions.predicting:assign_predictions",
    "before the books": "predictions.settlement:Entry.reading",
    "before reading what is stored": "predictions.idempotency:stored_answers",
    "before a call of the batch": "predictions.settlement:Batch.settle",
    "before deciding": "billing.ledger:decide",
    "before writing its answer": "predictions.settlement:Batch.answer",
    "before storing its answer": "predictions.idempotency:storing",
    "after a call of the batch": "predictions.settlement:Batch.settle",
    "before counting": "billing.ledger:counting",
    "before noting": "predictions.settlement:note",
    "after noting": "predictions.settlement:note",
}
OF_DOOR = {
    "asgi": {
        "before a call is taken": "predictions.door:SmallCall.take",
        "after a call is taken": "predictions.door:SmallCall.take",
        "before calls that came late": "predictions.gathering:Batch.latecomers",
        "before the hand-over": "predictions.gathering:answer",
        "after the hand-over": "predictions.gathering:answer",
        "before the answer": "mnistapi.protocol:Exchange.answer",
        "after the answer": "mnistapi.protocol:Exchange.answer",
    },
    "wsgi": {
        "before the head of the answer": "gunicorn.http.wsgi:Response.send_headers",
        "after the head of the answer": "gunicorn.http.wsgi:Response.send_headers",
        "after the body of the answer": "gunicorn.http.wsgi:Response.write",
    },
}
IN_TRANSACTION = ["before BEGIN", "after BEGIN", "before COMMIT", "after COMMIT"]
IN_COMMIT = {f"{milliseconds} ms into COMMIT": milliseconds for milliseconds in (0.3, 1, 3)}
IN_BATCH = ["before the second customer of a batch", "after a batch of several customers"]


def points(door: str) -> list[str]:
    of_asgi = IN_BATCH if door == "asgi" else []
    return [*SHARED, *IN_TRANSACTION, *IN_COMMIT, *OF_DOOR[door], *of_asgi]


def application(door: str) -> Any:
    loaded = importlib.import_module(f"mnistapi.{door}").application
    for point, function in (SHARED | OF_DOOR[door]).items():
        put(point, function)
    put_into_transaction[door]()
    put_into_batch()
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


def put_into_transactions() -> None:
    """Of the first door."""
    from mnistapi.transactions import Transaction

    begin, commit = Transaction.begin, Transaction.commit

    def begun(*args: Any) -> Any:
        come_to("before BEGIN")
        rows = begin(*args)
        come_to("after BEGIN")
        return rows

    def committed(*args: Any) -> None:
        come_to("before COMMIT")
        die_soon()
        commit(*args)
        come_to("after COMMIT")

    Transaction.begin = begun  # type: ignore[method-assign]
    Transaction.commit = committed  # type: ignore[method-assign]


def put_into_loop_connections() -> None:
    """Of the second door: a query is sent, and its rows are read when they are there."""
    from mnistapi.loop_connection import LoopConnection

    send, rows = LoopConnection.send, LoopConnection.rows

    def sent(line: LoopConnection, statement: Any) -> None:
        come_to("before COMMIT" if line.is_ending else "before BEGIN")
        if line.is_ending:
            die_soon()
        send(line, statement)

    def read(line: LoopConnection) -> Any:
        come_to("after COMMIT" if line.is_ending else "after BEGIN")
        return rows(line)

    LoopConnection.send = sent  # type: ignore[method-assign]
    LoopConnection.rows = read  # type: ignore[method-assign]


put_into_transaction = {"asgi": put_into_loop_connections, "wsgi": put_into_transactions}


def die_soon() -> None:
    for point, milliseconds in IN_COMMIT.items():
        if is_at(point):
            threading.Thread(target=die, args=[milliseconds]).start()


def put_into_batch() -> None:
    """Where only a batch of several customers comes."""
    from predictions import settlement
    from predictions.calls import OpenCall

    settle, note = settlement.Batch.settle, settlement.note

    def settle_one(batch: settlement.Batch, call: OpenCall) -> Any:
        if {row["customer_id"] for row in batch.rows} - {call.key.customer_id}:
            come_to(IN_BATCH[0])
        return settle(batch, call)

    def note_all(calls: Any, *args: Any) -> None:
        if len({call.key.customer_id for call in calls}) > 1:
            come_to(IN_BATCH[1])
        note(calls, *args)

    settlement.Batch.settle = settle_one  # type: ignore[method-assign]
    settlement.note = note_all
