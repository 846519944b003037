"""Requests that the application takes at once, and those that go the long way through ASGI."""

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from mnistapi import protocol, seats
from mnistapi.protocol import Exchange, Protocol
from mnistapi.seats import BOARD, NOT_SERVING, TURNS, Seat

PATIENCE_SECONDS = 20
BODY = b"of the request"
TAKEN, LONG_WAY = b"taken", b"the long way"


@dataclass
class Application:
    """Takes what is sent to /taken, unless its body says no; answers at once, or when told."""

    answers_at_once: bool = True
    exchanges: list[Exchange] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def taker(self, method: bytes, url: bytes, headers: object) -> "Application | None":
        return self if url == b"/taken" else None

    def take(self, body: bytes, exchange: Exchange) -> bool:
        if body == b"no":
            return False
        self.bodies.append(body)
        self.exchanges.append(exchange)
        if self.answers_at_once:
            asyncio.get_running_loop().call_soon(self.answer)
        return True

    def answer(self) -> None:
        lines = b"content-length: %d\r\nx-more: here\r\n" % len(TAKEN)
        self.exchanges.pop(0).answer(200, lines, TAKEN)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, is_more = b"", True
        while is_more:
            message = await receive()
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
        self.bodies.append(body)
        headers = [(b"content-length", b"%d" % len(LONG_WAY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": LONG_WAY})


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: ServerState
    seat: Seat

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> bytes:
        """The next one, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    async def is_ended(self) -> bool:
        return await self.reader.read(1) == b""

    async def until(self, holds: Callable[[], object]) -> None:
        while not holds():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(application: Application, keep_alive: float = 60) -> AsyncIterator[Client]:
    config = Config(
        application,  # type: ignore[arg-type]
        http=Protocol,
        ws="none",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
    )
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    seat = Seat()
    number = seat.number
    server = await loop.create_server(
        lambda: Protocol(seat, config, state, {}, loop), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield Client(reader, writer, state, seat)
    finally:
        writer.close()
        server.close()
        while state.connections:  # which tell the seat when they end
            state.connections.pop().transport.abort()
        await asyncio.sleep(0.01)
        seat.number = number
        seat.leave()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await test()

    asyncio.run(in_time())


def request(path: str = "/taken", *lines: str, body: bytes = BODY, version: str = "1.1") -> bytes:
    head = [f"POST {path} HTTP/{version}", "Host: here", f"Content-Length: {len(body)}", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (request(), TAKEN),
        (request(body=b""), TAKEN),
        (request(body=b"no"), LONG_WAY),
        (request("/else"), LONG_WAY),
        (request("/taken", "Connection: upgrade", "Upgrade: h2c"), TAKEN),
    ],
)
def test_a_request_is_taken_at_once_or_goes_the_long_way(sent: bytes, answer: bytes) -> None:
    application = Application()

    async def test() -> None:
        async with connected(application) as client:
            for _ in range(2):
                assert (await client.ask(sent)).endswith(answer)

    run(test)
    assert application.bodies == [sent.partition(b"\r\n\r\n")[2]] * 2


def test_a_connection_counts_for_its_process_until_it_ends() -> None:
    async def test() -> None:
        async with connected(Application()) as client:
            await client.ask(request())
            assert BOARD[client.seat.number] == 1
            client.writer.close()
            await client.until(lambda: BOARD[client.seat.number] == 0)

    run(test)


def test_a_process_with_more_connections_gives_way_behind_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []
    monkeypatch.setattr(os, "sched_yield", lambda: given.append(1))
    monkeypatch.setattr(seats, "GIVEN_SECONDS", 60)  # this process may be held up, too

    async def test() -> None:
        other = Seat()
        other.tell(0)
        async with connected(Application()) as client:
            await client.ask(request())
        other.leave()

    run(test)

    assert given == [1] * TURNS


def test_an_answer_has_the_headers_of_the_server_and_those_it_is_given() -> None:
    async def test() -> None:
        async with connected(Application()) as client:
            client.state.default_headers.append((b"date", b"today"))
            answer = await client.ask(request())
            assert answer == (
                b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 5\r\nx-more: here\r\n\r\ntaken"
            )
            assert client.state.total_requests == 1

    run(test)


@pytest.mark.parametrize("cut", [10, len(request()) - len(BODY), len(request()) - 3])
@pytest.mark.parametrize("is_paused", [False, True])
def test_a_request_that_comes_in_parts_is_whole(
    cut: int, is_paused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.1 if is_paused else PATIENCE_SECONDS)
    application = Application()
    is_cut_in_its_body = cut > 10

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request()[:cut])
            await asyncio.sleep(0.3)
            answer = await client.ask(request()[cut:])
            is_long_way = is_paused and is_cut_in_its_body
            assert answer.endswith(LONG_WAY if is_long_way else TAKEN)
            assert (await client.ask(request())).endswith(TAKEN)

    run(test)
    assert application.bodies == [BODY] * 2


def test_a_client_who_asks_for_a_word_before_his_body_gets_it() -> None:
    async def test() -> None:
        async with connected(Application()) as client:
            sent = request("/taken", "Expect: 100-continue")
            client.writer.write(sent[: -len(BODY)])
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.ask(BODY)).endswith(LONG_WAY)
            assert (await client.ask(request())).endswith(TAKEN)  # who does not ask for it again

    run(test)


def test_requests_in_one_piece_are_answered_in_their_order_however_late() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request() + request("/else", body=b"b") + request(body=b"c"))
            await client.until(lambda: application.exchanges)
            await asyncio.sleep(0.1)
            assert application.bodies == [BODY]
            application.answer()
            for answer in (TAKEN, LONG_WAY, LONG_WAY):
                assert (await client.answer()).endswith(answer)

    run(test)
    assert application.bodies == [BODY, b"b", b"c"]


def test_what_is_no_request_behind_one_ends_the_connection_behind_the_answer() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request() + b"\0\0\r\n\r\n")
            await client.until(lambda: application.exchanges)
            await asyncio.sleep(0.1)
            application.answer()
            assert (await client.answer()).endswith(TAKEN)
            assert await client.is_ended()

    run(test)


def test_a_body_that_is_none_is_refused_at_once() -> None:
    sent = b"POST /else HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"

    async def test() -> None:
        async with connected(Application()) as client:
            client.writer.write(sent)
            assert (await client.reader.read()).startswith(b"HTTP/1.1 400 ")

    run(test)


@pytest.mark.parametrize(
    "last", [request(version="1.0"), request("/taken", "Connection: close")], ids=["1.0", "close"]
)
def test_a_connection_ends_behind_an_answer_that_says_so(last: bytes) -> None:
    async def test() -> None:
        async with connected(Application()) as client:
            assert b"connection: close\r\n" in await client.ask(last)
            assert await client.is_ended()

    run(test)


def test_a_connection_is_kept_for_a_while_behind_the_last_answer() -> None:
    async def test() -> None:
        async with connected(Application(), keep_alive=0.5) as client:
            for _ in range(4):
                await asyncio.sleep(0.3)
                await client.ask(request())
            answered = time.monotonic()
            assert await client.is_ended()
            assert time.monotonic() - answered >= 0.45

    run(test)


def test_a_connection_is_not_ended_while_an_answer_is_awaited() -> None:
    application = Application()

    async def test() -> None:
        async with connected(application, keep_alive=0.2) as client:
            await client.ask(request())
            application.answers_at_once = False
            client.writer.write(request())
            await asyncio.sleep(0.6)
            application.answer()
            assert (await client.answer()).endswith(TAKEN)
            assert await client.is_ended()

    run(test)


def test_who_has_said_that_he_has_sent_all_is_answered() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request())
            client.writer.write_eof()
            await client.until(lambda: application.exchanges)
            await asyncio.sleep(0.1)
            application.answer()
            assert b"connection: close\r\n" in await client.answer()
            assert await client.is_ended()

    run(test)


def test_a_body_that_ends_early_goes_the_long_way_to_be_refused() -> None:
    application = Application()

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request()[:-3])
            await asyncio.sleep(0.1)
            client.writer.write_eof()
            assert (await client.answer()).endswith(LONG_WAY)

    run(test)
    assert application.bodies == [BODY[:-3]]


def test_who_has_gone_is_not_answered() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request())
            await client.until(lambda: application.exchanges)
            connection = client.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
            await client.until(lambda: not client.state.connections)
            exchange = application.exchanges[0]
            application.answer()
            assert not exchange.response_complete

    run(test)


def test_a_server_that_ends_answers_a_request_of_which_only_the_head_is_there() -> None:
    async def test() -> None:
        async with connected(Application()) as client:
            client.writer.write(request()[: -len(BODY)])
            await client.until(lambda: client.state.connections)
            await asyncio.sleep(0.1)
            for each in list(client.state.connections):
                each.shutdown()
            answer = await client.ask(BODY)
            assert answer.endswith(LONG_WAY)
            assert b"connection: close\r\n" in answer

    run(test)


@pytest.mark.parametrize("method", ["taker", "take"])
def test_a_fault_in_taking_a_request_sends_it_the_long_way(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = Application()
    monkeypatch.setattr(application, method, lambda *args: 1 / 0)

    async def test() -> None:
        async with connected(application) as client:
            for _ in range(2):
                assert (await client.ask(request())).endswith(LONG_WAY)

    run(test)


def test_who_cannot_be_answered_is_not_left_waiting() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request())
            await client.until(lambda: application.exchanges)
            application.exchanges.pop().give_up()
            assert await client.is_ended()

    run(test)


def test_a_server_that_ends_answers_what_it_has_taken() -> None:
    application = Application(answers_at_once=False)

    async def test() -> None:
        async with connected(application) as client:
            client.writer.write(request())
            await client.until(lambda: application.exchanges)
            number = client.seat.number
            for each in list(client.state.connections):
                each.shutdown()
            application.answer()
            assert b"connection: close\r\n" in await client.answer()
            assert await client.is_ended()
            await client.until(lambda: not client.state.connections)
            assert BOARD[number] == NOT_SERVING

    run(test)
