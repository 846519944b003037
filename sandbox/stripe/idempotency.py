"""Idempotency keys: for a day, the same request under the same key has the same answer."""

import hashlib
import json

from sandbox.stripe.errors import idempotency
from sandbox.stripe.exchange import Reply, Request
from sandbox.stripe.world import World

KEY_SECONDS = 86_400


def repeated(world: World, request: Request) -> Reply | None:
    """The stored answer, if the key was used in the last 24 hours; 400 for another request."""
    forget_old_keys(world)
    row = request.key and world.store.get("idempotency", request.key)
    if not row:
        return None
    if row["digest"] != digest(request):
        message = f"The idempotency key {request.key} was first used with other parameters."
        raise idempotency(message)
    headers = {"Idempotent-Replayed": "true", "Original-Request": row["request"]}
    return Reply(row["status"], row["body"].encode(), {**headers, **row["headers"]})


def digest(request: Request) -> str:
    text = json.dumps([request.method, request.path, request.params], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def forget_old_keys(world: World) -> None:
    horizon = world.now() - KEY_SECONDS
    while (oldest := world.store.oldest("idempotency")) and oldest["at"] <= horizon:
        world.store.delete("idempotency", oldest["id"])


def remember(world: World, request: Request, reply: Reply, id: str) -> None:
    if request.key:
        world.store.put(
            {
                "object": "idempotency",
                "id": request.key,
                "at": world.now(),
                "digest": digest(request),
                "status": reply.status,
                "body": reply.body.decode(),
                "headers": dict(reply.headers),
                "request": id,
            }
        )
