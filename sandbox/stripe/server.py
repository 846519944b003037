"""The local Stripe on a port of 127.0.0.1."""

import json
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

from sandbox.stripe import api, control, duties, pages
from sandbox.stripe.errors import Refusal
from sandbox.stripe.exchange import Reply, Request
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

TICK_SECONDS = 0.2


class Exchange(NamedTuple):
    """An API request and its answer, as they passed over the wire."""

    method: str
    path: str
    params: Json
    status: int
    body: Json


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int, stripe: "LocalStripe") -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.stripe = stripe

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is nothing to tell of."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class LocalStripe:
    """Serves from `start` to `stop`; port 0 takes a free one, and `now` sets the clock.

    `watch` is shown each exchange over the API, and `delivered` each event that a webhook got.
    """

    def __init__(
        self,
        port: int = 0,
        file: Path | None = None,
        now: int | None = None,
        watch: Callable[[Exchange], None] = lambda exchange: None,
        delivered: Callable[[Json], None] = lambda event: None,
    ) -> None:
        self.listener = Listener(port, self)
        self.url = f"http://127.0.0.1:{self.listener.server_port}"
        self.world = World(self.url, file, now)
        self.world.delivered = delivered
        self.watch = watch
        self.stopping = False
        self.threads = [
            threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self.tick, daemon=True),
        ]

    def start(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def stop(self) -> None:
        self.stopping = True
        self.world.wake.set()
        self.listener.shutdown()
        self.listener.server_close()
        for thread in self.threads:
            thread.join()
        self.world.store.close()

    def tick(self) -> None:
        """Do what falls due while real time passes."""
        while not self.stopping:
            self.world.wake.wait(TICK_SECONDS)
            self.world.wake.clear()
            try:
                duties.run(self.world, self.world.clock.running())
            except Exception:
                traceback.print_exc()

    def answer(self, request: Request) -> Reply:
        if request.path.startswith("/_sandbox/"):
            return control.answer(self.world, request)
        if not request.path.startswith(("/v1/", "/v2/")):
            return pages.answer(self.world, request)
        reply = api.answer(self.world, request)
        if reply.status == 501:
            print(reply.body.decode(), file=sys.stderr, flush=True)
        with suppress(Refusal):  # of a body that cannot be read there is nothing to show
            params, body = request.params, json.loads(reply.body)
            self.watch(Exchange(request.method, request.path, params, reply.status, body))
        return reply


class Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, path, query, headers, body)
        try:
            reply = self.server.stripe.answer(request)
        except Exception:
            traceback.print_exc()
            reply = Reply(500, b'{"error": {"type": "api_error", "message": "See its log."}}')
        if reply.lost:
            self.close_connection = True
            return
        self.send(reply)

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def send(self, reply: Reply) -> None:
        headers = {"Content-Type": "application/json", **reply.headers}
        self.send_response(reply.status)
        for name, value in {**headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """It is quiet; what it does not know, `answer` prints."""
