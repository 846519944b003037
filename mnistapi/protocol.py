"""HTTP as uvicorn reads and writes it, with some things changed.

An answer leaves in one write, not in one for its head and another for its body, which spares a
system call and a packet. What a client sends besides bodies has an end, and so has the
time in which he may leave a request unfinished, or an answer unfetched. One that says it has sent
all, while it still listens, is answered: also if its body ended early, so that it learns what
became of it. And one that offers to speak another protocol is answered in this one, its body read.
"""

import asyncio
from typing import Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEAD = 64 * 2**10
PATIENCE_SECONDS = 60  # with a client; at most twice that
LEAST_PACE = 2**10  # bytes a second, in which an answer is fetched that is not yet
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.outside = 0  # bytes of the request that arrives which are not of its body, or not yet
        self.arrived = 0  # whole requests
        self.answered: RequestResponseCycle | None = None  # while `cycle` is the last that came
        self.seen = Seen(0, 0, 0)
        self.next_look = self.loop.call_later(PATIENCE_SECONDS, self.look)
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]

    def connection_lost(self, error: Exception | None) -> None:
        self.next_look.cancel()
        if self.answered:
            self.answered.disconnected = True
            self.answered.message_event.set()
        super().connection_lost(error)

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
        self._unset_keepalive_if_required()
        self.outside += len(data)
        try:
            self.parse(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self.outside > MAX_HEAD:
            self.refuse_head()

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

    def refuse_head(self) -> None:
        if not self.is_answering() and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
        self.transport.close()

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_headers_complete()
        elif self.parser.get_method() == b"CONNECT":
            raise ValueError("This is no proxy.")

    def on_body(self, body: bytes) -> None:
        self.outside -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self.outside = 0
            self.arrived += 1
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # of what asyncio lets it be
        """Whether the connection stays open for an answer."""
        if not self.is_answering():
            return False
        self.cycle.keep_alive = False
        self.cycle.more_body = False
        self.cycle.message_event.set()
        return True


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
