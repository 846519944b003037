"""How gunicorn's workers serve the ASGI application."""

from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn_worker import UvicornWorker

MAX_HEAD = 64 * 2**10
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, with two things that it lacks.

    What a client sends besides bodies has an end. And one that says it has sent all, while it
    still listens, is answered: also if its body ended early, so that it learns what became of it.
    """

    outside = 0  # bytes of the running request that are not of its body, or not yet

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


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no types
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": Protocol,
        "lifespan": "on",
        # The one line a request is ours, and so is what is believed of a proxy.
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }
