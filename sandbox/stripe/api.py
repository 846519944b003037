"""One API request, from its headers to its answer: who asks, is it a repetition, what fails."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sandbox.stripe import API_VERSION, errors, form, meters, routes
from sandbox.stripe.answers import render
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, Cause, World

KEY_SECONDS = 86_400
METER_EVENTS = "/v1/billing/meter_events"
# How long an event keeps others of its customer and meter out. Stripe takes longer.
METER_EVENT_SECONDS = 0.002


@dataclass
class Request:
    """`headers` have lower-case names."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key") if self.method == "POST" else None


@dataclass
class Reply:
    """`lost` is an answer that never arrives: the connection is closed instead."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False


def answer(world: World, request: Request) -> Reply:
    id = new_id("req", 14)
    try:
        reply = answered(world, request, id)
    except errors.Refusal as refusal:
        reply = refused(refusal, id)
    reply.headers |= {"Request-Id": id, "Stripe-Version": API_VERSION}
    return reply


def refused(refusal: errors.Refusal, id: str) -> Reply:
    error = {**refusal.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{id}"}
    return Reply(refusal.status, written({"error": error}), dict(refusal.headers))


def written(body: Json) -> bytes:
    return json.dumps(body, indent=2).encode()


def answered(world: World, request: Request, id: str) -> Reply:
    authorize(request)
    check_version(request)
    with world.lock:
        world.failures.refuse(request.method, request.path)
    params = params_of(request)
    route = routes.find(request.method, request.path)
    call = route.call(request.path, params)
    with occupied(world, request, call):
        linger(world, request)
        with world.lock:
            try:
                return repeated(world, request, params) or done(world, request, route, call, id)
            finally:
                world.save()


def authorize(request: Request) -> None:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind == "Basic":
        given = name_in(given)
    if not given:
        raise errors.unauthorized("You did not provide an API key.")
    if not given.startswith(("sk_test_", "rk_test_")):
        raise errors.unauthorized("Invalid API key: the local Stripe takes test keys alone.")


def name_in(basic: str) -> str:
    try:
        return base64.b64decode(basic).decode().partition(":")[0]
    except ValueError:
        return ""


def check_version(request: Request) -> None:
    version = request.headers.get("stripe-version", API_VERSION)
    if version != API_VERSION:
        raise errors.unknown(f"the API version {version}; it speaks {API_VERSION}")


def params_of(request: Request) -> Json:
    """From the query, a form body, or, in version 2 of the API, a JSON body."""
    try:
        if request.method != "POST":
            return form.decode(request.query)
        if request.path.startswith("/v2/"):
            body: Any = json.loads(request.body or b"{}")
            return body if isinstance(body, dict) else {}
        return form.decode(request.body.decode())
    except ValueError:
        raise errors.invalid("The body of the request cannot be read.") from None


@contextmanager
def occupied(world: World, request: Request, call: Call) -> Iterator[None]:
    """Keep others out that have the same idempotency key, or meter the same customer."""
    with world.lock:
        taken = list(places(world, request, call))
        world.busy.update(taken)
    try:
        yield
    finally:
        with world.lock:
            world.busy.difference_update(taken)


def places(world: World, request: Request, call: Call) -> Iterator[str]:
    if request.key:
        if f"key {request.key}" in world.busy:
            raise errors.key_in_use(request.key)
        yield f"key {request.key}"
    if request.path == METER_EVENTS:
        place = meters.place_of(world, call)
        if place in world.busy:
            raise errors.rate_limited("Another event of this customer and meter is on its way.")
        yield place


def linger(world: World, request: Request) -> None:
    """The time that a request takes, which is longer if it was ordered so."""
    with world.lock:
        slow = world.failures.happens("slow", request.method, request.path)
    if slow or request.path == METER_EVENTS:
        time.sleep(slow.seconds if slow else METER_EVENT_SECONDS)


def repeated(world: World, request: Request, params: Json) -> Reply | None:
    """The stored answer, if the key was used in the last 24 hours; 400 for another request."""
    forget_old_keys(world)
    row = request.key and world.store.get("idempotency", request.key)
    if not row:
        return None
    if row["digest"] != digest(request, params):
        message = f"The idempotency key {request.key} was first used with other parameters."
        raise errors.idempotency(message)
    headers = {"Idempotent-Replayed": "true", "Original-Request": row["request"]}
    return Reply(row["status"], row["body"].encode(), {**headers, **row["headers"]})


def digest(request: Request, params: Json) -> str:
    text = json.dumps([request.method, request.path, params], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def forget_old_keys(world: World) -> None:
    horizon = world.now() - KEY_SECONDS
    while (oldest := world.store.oldest("idempotency")) and oldest["at"] <= horizon:
        world.store.delete("idempotency", oldest["id"])


def done(world: World, request: Request, route: routes.Route, call: Call, id: str) -> Reply:
    """Do it, store the answer under its key, and lose it on the way if that was ordered."""
    world.cause = Cause(id, request.key)
    try:
        reply = Reply(200, written(result_of(world, route, call)))
    except errors.Refusal as refusal:
        if refusal.status != 402:
            raise  # Nothing was done, and nothing is stored.
        reply = refused(refusal, id)
    finally:
        world.cause = Cause()
    if world.failures.happens("error_after", request.method, request.path):
        reply = refused(errors.broken(), id)
        reply.headers["Stripe-Should-Retry"] = "false"
    remember(world, request, reply, id)
    reply.lost = bool(world.failures.happens("lost_answer", request.method, request.path))
    return reply


def result_of(world: World, route: routes.Route, call: Call) -> Json:
    """What a list shows is expanded already; anything else is here."""
    body = route.handle(world, call)
    if body.get("object") == "list" or "next_page_url" in body:
        return body
    return render(world, body, call.params.get("expand", []))


def remember(world: World, request: Request, reply: Reply, id: str) -> None:
    if request.key:
        world.store.put(
            {
                "object": "idempotency",
                "id": request.key,
                "at": world.now(),
                "digest": digest(request, params_of(request)),
                "status": reply.status,
                "body": reply.body.decode(),
                "headers": dict(reply.headers),
                "request": id,
            }
        )
