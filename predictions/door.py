"""The second door: the calls as a small ASGI application in front of Django.

It does what `predictions.views` does, with the same functions; what differs is that calls which
arrive while others are being settled are settled together, next. Small calls come to it without
ASGI, from `mnistapi.protocol`. Everything that is not a call goes on to Django.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from accounts.authentication import refuse_key_in_query
from accounts.models import APIKey
from mnistapi import api_headers
from mnistapi.django_bridge import Application, Receive, Scope, Send
from mnistapi.problems import BAD_REQUEST, MEDIA_TYPE, Problem, problem_from
from mnistapi.protocol import Exchange
from mnistapi.uuid7 import uuid7
from predictions import metrics
from predictions.aside import Aside, Shares
from predictions.calls import Answer, OpenCall, Outcome
from predictions.endpoints import ENDPOINTS, Endpoint, Head
from predictions.gathering import Gathering, Taker
from predictions.known_keys import KnownKeys
from predictions.predicting import is_slow, predict

Headers = dict[bytes, bytes]
Pairs = list[tuple[bytes, bytes]]

JSON = "application/json"
UNAUTHORIZED = 401
MAYBE_WITHOUT_A_ROW = {UNAUTHORIZED, 500, 503}
# So many large bodies are held in memory; the next is not read before one of these is decoded.
LARGE_HELD = 16
LARGE_OF_ONE = 8  # of which one customer may have so many
PATIENCE_SECONDS = 60  # for a body to arrive
# While no place is left for others, or for the same customer's, a large body gives up its own if
# nothing came of it for so long, or if it comes more slowly than by any telephone.
STALLED_SECONDS = 2
LEAST_PACE = 4 * 2**10  # bytes a second

log = structlog.get_logger("mnistapi.request")


class Door:
    """An ASGI application for one process: calls are answered here, the rest by `others`."""

    def __init__(self, others: Application) -> None:
        self.others = others
        self.keys = KnownKeys()
        # Large bodies are read, and what takes long is predicted, where they hold up such others
        # only; the pictures of a small body, where they hold up other such pictures only.
        self.large = Aside("large")
        self.pictures = Aside("pictures")
        self.room_for_large = asyncio.Semaphore(LARGE_HELD)
        self.room_of_one = Shares(LARGE_OF_ONE)
        self.fixed = raw(api_headers.of_every_answer().items())
        self.fixed_lines = lines(api_headers.of_every_answer())
        self.is_https_only = settings.SECURE_SSL_REDIRECT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
            return
        endpoint = ENDPOINTS.get(scope["path"])
        headers = by_name(scope["headers"])
        if endpoint and scope["method"] == "POST" and self.is_for_us(headers):
            await self.answer(endpoint, scope["query_string"], headers, receive, send)
        else:
            await self.others(scope, receive, send)

    def is_for_us(self, headers: Headers) -> bool:
        """Whether the host is ours and the way secure: Django refuses what is not."""
        if self.is_https_only and headers.get(b"x-forwarded-proto") != b"https":
            return False
        return is_our_host(headers.get(b"host", b""))

    async def live(self, receive: Receive, send: Send) -> None:
        """The life of the process: what it has been given is settled before it ends."""
        await receive()
        self.gathering = Gathering()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.gathering.finish()
        await send({"type": "lifespan.shutdown.complete"})

    def taker(self, method: bytes, url: bytes, pairs: Pairs) -> "SmallCall | None":
        """Who may take a request at once (`mnistapi.protocol`): a call that needs nothing but the
        books. All that is unusual, and all that is refused for its head, has no such taker.
        """
        endpoint = ENDPOINTS.get(url.decode("latin-1")) if method == b"POST" else None
        if endpoint is None:
            return None
        headers = by_name(pairs)
        key = self.keys.known(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))
        if key is None or not self.is_for_us(headers):
            return None
        head = head_of(headers)
        try:
            is_large = endpoint.is_large(head)
        except Problem:
            return None
        return None if is_large else SmallCall(self, endpoint, head, key, time.perf_counter())

    def settle_aside(self, call: OpenCall, taker: Taker) -> None:
        task = asyncio.ensure_future(self.predict_aside(call))
        task.add_done_callback(lambda _: self.gathering.settle(call, taker))

    async def predict_aside(self, call: OpenCall) -> None:
        await self.large.run(call.key.customer_id, predict, [call])

    async def answer(
        self, endpoint: Endpoint, query: bytes, headers: Headers, receive: Receive, send: Send
    ) -> None:
        began, id = time.perf_counter(), uuid7()
        try:
            outcome = await self.outcome(endpoint, query, headers, receive, id, began)
        except Exception as error:
            outcome = problem_from(error)
            metrics.count_refusal(outcome.type.status, outcome.type.code)
            note(id, endpoint, outcome)
        else:
            note_if_without_a_row(id, endpoint, outcome)
        status, own, body = written(id, outcome)
        head = [*raw(own.items()), *self.fixed]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def outcome(
        self,
        endpoint: Endpoint,
        query: bytes,
        headers: Headers,
        receive: Receive,
        id: UUID,
        began: float,
    ) -> Outcome:
        """Authenticate, decode and settle a call. Raises what refuses it before it is one."""
        if query:
            refuse_key_in_query(query.decode("latin-1"))
        key = await self.keys.authenticate(
            headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")
        )
        call = endpoint.open(id, key, began)
        await self.fill(call, endpoint, head_of(headers), receive)
        outcome = await self.gathering.settled(call)
        self.forget_if_dead(key, outcome)
        return outcome

    def forget_if_dead(self, key: APIKey, outcome: Outcome) -> None:
        if isinstance(outcome, Problem) and outcome.type.status == UNAUTHORIZED:
            self.keys.forget(key)

    async def fill(self, call: OpenCall, endpoint: Endpoint, head: Head, receive: Receive) -> None:
        """Give the call its images, or why it has none."""
        try:
            if endpoint.is_large(head):
                await self.fill_large(call, endpoint, head, receive)
                return
            body = await body_of(receive)
            customer_id = call.key.customer_id
            if endpoint.has_pictures(head, body):
                await self.pictures.run(customer_id, fill_and_predict, call, endpoint, head, body)
            else:
                endpoint.fill(call, head, body)
                if is_slow(call):
                    await self.predict_aside(call)
        except Problem as problem:
            call.refusal = problem

    async def fill_large(
        self, call: OpenCall, endpoint: Endpoint, head: Head, receive: Receive
    ) -> None:
        customer_id = call.key.customer_id
        room, own = self.room_for_large, self.room_of_one.of(customer_id)
        async with own, room:
            body = await large_body_of(receive, lambda: own.locked() or room.locked())
            await self.large.run(customer_id, fill_and_predict, call, endpoint, head, body)


class SmallCall(NamedTuple):
    """A call whose head says that it may be taken at once."""

    door: Door
    endpoint: Endpoint
    head: Head
    key: APIKey
    began: float

    def take(self, body: bytes, exchange: Exchange) -> bool:
        """Unless pictures have to be decoded."""
        if self.endpoint.has_pictures(self.head, body):
            return False
        self.door.gathering.decode_with_others(partial(self.decode, body, exchange))
        return True

    def decode(self, body: bytes, exchange: Exchange) -> None:
        try:
            self.settle(body, exchange)
        except Exception:
            exchange.give_up()
            raise

    def settle(self, body: bytes, exchange: Exchange) -> None:
        call = self.endpoint.open(uuid7(), self.key, self.began)
        answer = partial(self.answer, call.id, exchange)
        self.endpoint.fill(call, self.head, body)
        if is_slow(call):
            self.door.settle_aside(call, answer)
        else:
            self.door.gathering.settle(call, answer)

    def answer(self, id: UUID, exchange: Exchange, outcome: Outcome) -> None:
        try:
            self.door.forget_if_dead(self.key, outcome)
            note_if_without_a_row(id, self.endpoint, outcome)
            status, headers, body = written(id, outcome)
            exchange.answer(status, lines(headers) + self.door.fixed_lines, body)
        except Exception:
            exchange.give_up()
            raise


def written(id: UUID, outcome: Outcome) -> tuple[int, dict[str, str], bytes]:
    """The answer to the call `id`: its status, its own headers and its body."""
    if isinstance(outcome, Answer):
        status, type, id, body = 200, JSON, outcome.id, outcome.body
    else:
        status, type, body = outcome.type.status, MEDIA_TYPE, outcome.body(id)
    length = str(len(body))
    own = {"Content-Type": type, "X-Request-Id": str(id), "Content-Length": length}
    return status, {**own, **outcome.headers}, body


def fill_and_predict(call: OpenCall, endpoint: Endpoint, head: Head, body: bytes) -> None:
    endpoint.fill(call, head, body)
    predict([call])


def note(id: UUID, endpoint: Endpoint, problem: Problem) -> None:
    """A line of the log for a call that may be nowhere else."""
    log.info("request", request_id=str(id), path=endpoint.path, status=problem.type.status)


def note_if_without_a_row(id: UUID, endpoint: Endpoint, outcome: Outcome) -> None:
    if isinstance(outcome, Problem) and outcome.type.status in MAYBE_WITHOUT_A_ROW:
        note(id, endpoint, outcome)


def by_name(pairs: Pairs) -> Headers:
    """The headers; the values of one that comes twice are joined by a comma, as HTTP reads them."""
    headers = dict(pairs)
    if len(headers) < len(pairs):
        headers = {name: b",".join(v for n, v in pairs if n == name) for name in headers}
    return headers


@lru_cache(maxsize=64)
def is_our_host(host: bytes) -> bool:
    domain, _ = split_domain_port(host.decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


def head_of(headers: Headers) -> Head:
    idempotency_key = headers.get(b"idempotency-key")
    return Head(
        content_type=headers.get(b"content-type", b"").decode("latin-1"),
        content_length=headers.get(b"content-length", b"").decode("latin-1"),
        transfer_encoding=headers.get(b"transfer-encoding", b"").decode("latin-1"),
        idempotency_key=None if idempotency_key is None else idempotency_key.decode("latin-1"),
    )


async def body_of(receive: Receive) -> bytes:
    """The body, or as much of it as came before the client went away.

    The server ends it at its `Content-Length`, which has been looked at.
    """
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while message.get("more_body"):
                message = await receive()
                parts.append(message.get("body", b""))
    except TimeoutError:
        raise late() from None
    return b"".join(parts)


async def large_body_of(receive: Receive, is_full: Callable[[], bool]) -> bytes:
    """As `body_of`; but one that stalls, or comes in drops, gives up its place if `is_full` says
    that it is needed."""
    parts: list[bytes] = []
    began, size = time.monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                message = await receive()
        except TimeoutError:
            message = {"more_body": True}
            if is_full():
                raise late() from None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
        size += len(parts[-1])
        seconds = time.monotonic() - began
        is_dripping = seconds > STALLED_SECONDS and size < LEAST_PACE * seconds
        if seconds > PATIENCE_SECONDS or (is_dripping and is_full()):
            raise late()


def late() -> Problem:
    return Problem(BAD_REQUEST, "The body did not arrive in time.")


def raw(headers: Iterable[tuple[str, str]]) -> Pairs:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def lines(headers: Mapping[str, str]) -> bytes:
    """As they are sent."""
    sent = [f"{name.lower()}: {value}\r\n" for name, value in headers.items()]
    return "".join(sent).encode("latin-1")
