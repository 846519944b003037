"""HTTP as uvicorn reads and writes it, with some things changed.

An answer leaves in one write, not in one for its head and another for its body: at 64 connections
that is a tenth of what a call costs. What a client sends besides bodies has an end. And one that
says it has sent all, while it still listens, is answered: also if its body ended early, so that it
learns what became of it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 2**10
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    outside = 0  # bytes of the request that arrives which are not of its body, or not yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(JoinedWrites(transport))  # type: ignore[arg-type]

    def on_response_complete(self) -> None:
        self.transport.flush()  # type: ignore[attr-defined]
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self.outside += len(data)
        super().data_received(data)
        if self.outside > MAX_HEAD:
            self.refuse_head()

    def on_body(self, body: bytes) -> None:
        self.outside -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self.outside = 0
        super().on_message_complete()

    def refuse_head(self) -> None:
        if not self.is_answering() and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
        self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]  # of what asyncio lets it be
        """Whether the connection stays open for an answer."""
        if not self.is_answering():
            return False
        self.cycle.keep_alive = False
        self.cycle.more_body = False
        self.cycle.message_event.set()
        return True

    def is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


class JoinedWrites:
    """A transport that holds the head of an answer back until what follows it is written."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
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
