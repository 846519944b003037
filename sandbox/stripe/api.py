"""One API request, from its headers to its answer: who asks, is it a repetition, what fails."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.stripe import API_VERSION, errors, idempotency, meter_events, routes
from sandbox.stripe.answers import render
from sandbox.stripe.exchange import Reply, Request, refused, written
from sandbox.stripe.store import Json, new_id
from sandbox.stripe.world import Call, Cause, World

METER_EVENTS = "/v1/billing/meter_events"
# How long an event keeps others of its customer and meter out. Stripe takes longer.
METER_EVENT_SECONDS = 0.002


def answer(world: World, request: Request) -> Reply:
    id = new_id("req", 14)
    try:
        reply = answered(world, request, id)
    except errors.Refusal as refusal:
        reply = refused(refusal, id)
    reply.headers |= {"Request-Id": id, "Stripe-Version": API_VERSION}
    return reply


def answered(world: World, request: Request, id: str) -> Reply:
    authorize(request)
    check_version(request)
    with world.lock:
        world.failures.refuse(request.method, request.path)
    route = routes.find(request.method, request.path)
    call = route.call(request.path, request.params)
    with occupied(world, request, call):
        linger(world, request)
        with world.lock:
            try:
                return idempotency.repeated(world, request) or done(world, request, route, call, id)
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
        place = meter_events.place_of(world, call)
        if place in world.busy:
            raise errors.rate_limited("Another event of this customer and meter is on its way.")
        yield place


def linger(world: World, request: Request) -> None:
    """The time that a request takes, which is longer if it was ordered so."""
    with world.lock:
        slow = world.failures.happens("slow", request.method, request.path)
    if slow or request.path == METER_EVENTS:
        time.sleep(slow.seconds if slow else METER_EVENT_SECONDS)


def done(world: World, request: Request, route: routes.Route, call: Call, id: str) -> Reply:
    """Do it, store the answer under its key, and lose it on the way if that was ordered."""
    world.cause = Cause(id, request.key)
    try:
        reply = Reply(200, written(result_of(world, route, call)))
    except errors.Refusal as refusal:
        if refusal.status != 402:
            raise  # refused for what it is, which leaves its key free
        reply = refused(refusal, id)
    finally:
        world.cause = Cause()
    if world.failures.happens("error_after", request.method, request.path):
        reply = refused(errors.broken(), id)
        reply.headers["Stripe-Should-Retry"] = "false"
    idempotency.remember(world, request, reply, id)
    reply.lost = bool(world.failures.happens("lost_answer", request.method, request.path))
    return reply


def result_of(world: World, route: routes.Route, call: Call) -> Json:
    """What a list shows is expanded already; anything else is here."""
    body = route.handle(world, call)
    if body.get("object") == "list" or "next_page_url" in body:
        return body
    return render(world, body, call.params.get("expand", []))
