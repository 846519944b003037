"""HTTP as uvicorn reads and writes it, with some things changed.

An answer leaves in one write, not in one for its head and another for its body, which spares a
system call and a packet. What a client sends besides bodies has an end, and so has the
time in which he may leave a request unfinished, or an answer unfetched. One that says it has sent
all, while it still listens, is answered: also if its body ended early, so that it learns what
became of it. And one that offers to speak another protocol is answered in this one, its body read.

A process that has more connections than another gives way to it behind each one it takes.

The application may take a request at once, without the task and the messages of ASGI, which would
take a quarter of the processor time of a small call.
"""

import asyncio
from typing import Any, NamedTuple
from typing import Protocol as Interface

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from mnistapi.seats import Seat

MAX_HEAD = 64 * 2**10
PATIENCE_SECONDS = 60  # with a client; at most twice that
BODY_SECONDS = 1  # in which the body of a request arrives that is taken at once
LEAST_PACE = 2**10  # bytes a second, in which an answer is fetched that is not yet
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


log = structlog.get_logger()


class Taker(Interface):
    """Of the application: what it makes of a request once its body is there."""

    def take(self, body: bytes, exchange: "Exchange") -> bool:
        """Whether it takes the request, and calls `exchange.answer` in time."""


class Protocol(HttpToolsProtocol):
    def __init__(self, seat: Seat, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seat = seat

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.outside = 0  # bytes of the request that arrives which are not of its body, or not yet
        self.arrived = 0  # whole requests
        self.answered: RequestResponseCycle | None = None  # while `cycle` is the last that came
        self.idle_since = self.loop.time()
        self.taker: Taker | None = None  # of the request that arrives
        self.parts: list[bytes] = []  # of its body
        self.waiting: asyncio.TimerHandle | None = None  # for the rest of it
        self.seen = Seen(0, 0, 0)
        self.next_look = self.loop.call_later(PATIENCE_SECONDS, self.look)
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]
        self.seat.tell(len(self.connections))
        self.seat.give_way()

    def connection_lost(self, error: Exception | None) -> None:
        self.next_look.cancel()
        self._unset_keepalive_if_required()
        self.go_the_long_way()
        if self.answered:
            self.answered.disconnected = True
            self.answered.message_event.set()
        super().connection_lost(error)
        self.seat.tell(len(self.connections))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answered = cycle
        super()._start_asgi_task(cycle, app)

    def look(self) -> None:
        """End the connection if it has waited for its client all the time since the last look.

        For a request to be finished, or for an answer to be fetched.
        """
        unfetched = self.transport.get_write_buffer_size()
        written = self.transport.written  # type: ignore[attr-defined]
        before, self.seen = self.seen, Seen(self.arrived, unfetched, written - unfetched)
        is_awaited = self.arrived == before.arrived and self.is_waiting()
        if is_awaited or self.seen.is_hardly_fetched_since(before):
            self.transport.abort()
        else:
            self.next_look = self.loop.call_later(PATIENCE_SECONDS, self.look)

    def is_waiting(self) -> bool:
        """For a request to begin, or for more of one."""
        return self.cycle is None or self.cycle.more_body or self.outside > 0

    def is_answering(self) -> bool:
        return self.answered is not None and not self.answered.response_complete

    def data_received(self, data: bytes) -> None:
        self.outside += len(data)
        try:
            self.parse(data)
        except httptools.HttpParserError:
            self.refuse_what_is_no_request()
        if self.outside > MAX_HEAD:
            self.refuse_head()
        if self.taker and not self.waiting:
            self.waiting = self.loop.call_later(BODY_SECONDS, self.go_the_long_way)

    def parse(self, data: bytes) -> None:
        """Behind a head that offers another protocol the parser stops; HTTP goes on."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
                return
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                head = self.head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(head)

    def head_without_offer(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [self.parser.get_method() + b" " + self.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def refuse_what_is_no_request(self) -> None:
        """Or, if whole ones before it are not answered yet, end the connection behind these."""
        if self.is_answering() and not self.cycle.more_body and not self.taker:
            self.cycle.keep_alive = False
            self.transport.pause_reading()
        else:
            self.send_400_response("Invalid HTTP request received.")

    def refuse_head(self) -> None:
        if not self.is_answering() and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
        self.transport.close()

    def on_message_begin(self) -> None:
        """Without the scope: one that is taken at once has no use for it."""
        self.url, self.headers, self.expect_100_continue = b"", [], False

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            self.taker = self.taker_of_the_request()
            if self.taker is None:
                self.begin_the_long_way()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("This is no proxy.")

    def taker_of_the_request(self) -> Taker | None:
        """None for a request that stands behind others, for one that waits for a word before its
        body, and if the application knows nobody who might take it at once.
        """
        if self.is_answering() or self.flow.write_paused or self.expect_100_continue:
            return None
        try:
            taker: Taker | None = self.app.taker(self.parser.get_method(), self.url, self.headers)
            return taker
        except Exception:
            log.exception("not_taken")
            return None

    def on_body(self, body: bytes) -> None:
        self.outside -= len(body)
        if self.taker:
            self.parts.append(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self.outside = 0
        self.arrived += 1
        if self.taker and self.is_taken(self.taker):
            self.taker, self.parts = None, []
            self.end_waiting()
        else:
            self.go_the_long_way()
            super().on_message_complete()

    def is_taken(self, taker: Taker) -> bool:
        exchange = Exchange(self)
        try:
            is_taken = taker.take(b"".join(self.parts), exchange)
        except Exception:
            log.exception("not_taken")
            return False
        if is_taken:
            self.cycle = self.answered = exchange
        return is_taken

    def go_the_long_way(self) -> None:
        """Make a task of a request that was to be taken at once, with as much of it as is there."""
        if self.taker:
            body = b"".join(self.parts)
            self.taker, self.parts = None, []
            self.end_waiting()
            self.begin_the_long_way()
            super().on_body(body)

    def begin_the_long_way(self) -> None:
        url, headers, expects_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects_100_continue
        self.headers += headers  # which are in the scope, too
        super().on_headers_complete()

    def end_waiting(self) -> None:
        if self.waiting:
            self.waiting.cancel()
            self.waiting = None

    def on_response_complete(self) -> None:
        self.idle_since = self.loop.time()
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def on_exchange_complete(self) -> None:
        """As `on_response_complete`, without a new timer for each answer, which would take more
        than half as long as the answer itself.
        """
        if self.pipeline or self.timeout_keep_alive_task is None:
            self.on_response_complete()
        else:
            self.idle_since = self.loop.time()
            self.server_state.total_requests += 1

    def timeout_keep_alive_handler(self) -> None:
        idle = self.loop.time() - self.idle_since if self.is_idle() else 0
        left = self.timeout_keep_alive - idle
        if left > 0:
            handler = self.timeout_keep_alive_handler
            self.timeout_keep_alive_task = self.loop.call_later(left, handler)
        else:
            super().timeout_keep_alive_handler()

    def is_idle(self) -> bool:
        """Whether all that came was answered, and nothing comes."""
        return not self.outside and (self.cycle is None or self.cycle.response_complete)

    def shutdown(self) -> None:
        self.seat.tell_no_more()
        self.go_the_long_way()  # whose end is waited for
        super().shutdown()

    def eof_received(self) -> bool:  # type: ignore[override]  # of what asyncio lets it be
        """Whether the connection stays open for an answer."""
        self.go_the_long_way()
        if not self.is_answering():
            return False
        self.cycle.keep_alive = False
        self.cycle.more_body = False
        self.cycle.message_event.set()
        return True


class Exchange(RequestResponseCycle):
    """A request that was taken at once, and its answer: to uvicorn one of its cycles."""

    more_body = False
    message_event = asyncio.Event()  # nobody waits for it

    def __init__(self, protocol: Protocol) -> None:
        parser = protocol.parser
        self.protocol = protocol
        self.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.disconnected = False
        self.response_complete = False

    def answer(self, status: int, lines: bytes, body: bytes) -> None:
        """To a client who is there still. `lines` are the headers, as they are sent, besides the
        server's own; they tell the length of the body.
        """
        protocol = self.protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        own = [b"%b: %b\r\n" % pair for pair in protocol.server_state.default_headers]
        if not self.keep_alive:
            own.append(b"connection: close\r\n")
        answer = b"".join([STATUS_LINE[status], *own, lines, b"\r\n", body])
        protocol.transport.write_whole(answer)  # type: ignore[attr-defined]
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_exchange_complete()

    def give_up(self) -> None:
        """There is no answer: the client is not to wait for one."""
        self.protocol.transport.close()


class Seen(NamedTuple):
    """What there was of a connection: requests, and bytes of answers."""

    arrived: int
    unfetched: int
    fetched: int

    def is_hardly_fetched_since(self, before: "Seen") -> bool:
        """Whether an answer was to be fetched at both looks, and next to nothing was."""
        fetched = self.fetched - before.fetched
        return min(before.unfetched, self.unfetched) > 0 and fetched < LEAST_PACE * PATIENCE_SECONDS


class JoinedWrites:
    """A transport that holds the head of an answer back until what follows it is written."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self.written = 0  # bytes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.written += len(data)
        if self._held:
            self._transport.write(self._held + data)
            self._held = b""
        elif is_head(data):
            self._held = data
        else:
            self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """With nothing to hold back, nor held."""
        self.written += len(answer)
        self._transport.write(answer)

    def flush(self) -> None:
        if self._held:
            self._transport.write(self._held)
            self._held = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()


def is_head(data: bytes) -> bool:
    """Whether an answer goes on behind it: behind `100 Continue` it is the client that goes on."""
    is_interim = data.startswith(b"HTTP/1.1 1")
    return data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n") and not is_interim
