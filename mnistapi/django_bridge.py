"""Django behind an ASGI server, in threads as under any WSGI server.

Each thread keeps its database connection, and long downloads stream. Under Django's own ASGI
handler neither is so: each request has a thread of its own, and what streams is gathered first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import IO, Any, cast

import structlog
from a2wsgi import WSGIMiddleware
from django.conf import settings
from django.http import FileResponse

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 8
# What a platform and its operator look at must be answered also while all of these are taken, and
# while one of them waits for the database: each has a thread of its own.
PROBES = ("/livez", "/readyz", "/metrics")
BLOCK = 64 * 2**10  # of a file, at a time

log = structlog.get_logger()


def bridge(django: Any) -> Application:
    """The ASGI application that runs a WSGI one."""
    wsgi = until_the_client_is_gone(django)
    threads = cast(Application, WSGIMiddleware(wsgi, workers=THREADS))
    probes = {path: cast(Application, WSGIMiddleware(wsgi, workers=1)) for path in PROBES}

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        messages = await arrived(receive)
        send = without_errors(send)
        pool = probes.get(scope["path"], threads)
        if messages[-1].get("more_body"):
            await pool(trusted(scope), replayed(messages, receive), send)
            return
        gone = asyncio.ensure_future(until_gone(receive))
        files: list[FileResponse] = []
        try:
            known = trusted(scope) | {"gone": gone, "files": files}
            await pool(known, replayed(messages, receive), before(files, send))
            for file in files:
                await send_file(file, send, gone)
        finally:
            gone.cancel()

    return application


async def until_gone(receive: Receive) -> None:
    """A client may also say that it has sent all, and go on listening."""
    while (await receive())["type"] != "http.disconnect":
        pass


def until_the_client_is_gone(django: Any) -> Any:
    """A long download ends with its client: else its thread would go on for nobody. A file leaves
    its thread at once, which would wait for whoever hardly fetches it."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        scope = environ["asgi.scope"]
        gone, files = scope.get("gone"), scope.get("files")
        answer = django(environ, start_response)
        if files is not None and getattr(answer, "file_to_stream", None):
            files.append(answer)
            return
        try:
            for chunk in answer:
                yield chunk
                if gone and gone.done():
                    return
        finally:
            answer.close()

    return application


def before(files: Sequence[FileResponse], send: Send) -> Send:
    """What a thread sends, but not the end of it if a file is to follow."""

    async def send_or_hold(message: Message) -> None:
        is_end = message["type"] == "http.response.body" and not message.get("more_body")
        if not (files and is_end):
            await send(message)

    return send_or_hold


async def send_file(answer: FileResponse, send: Send, gone: asyncio.Future[None]) -> None:
    """Block by block, each when the client has taken the one before."""
    file = cast(IO[bytes], answer.file_to_stream)
    try:
        while not gone.done() and (block := file.read(BLOCK)):
            await send({"type": "http.response.body", "body": block, "more_body": True})
            await asyncio.sleep(0)  # to somebody who has gone nothing is sent, and nothing waits
        await send({"type": "http.response.body", "body": b""})
    finally:
        answer.close()


def without_errors(send: Send) -> Send:
    """What cannot be sent is dropped: were it an error, the thread would wait for ever."""

    async def send_or_drop(message: Message) -> None:
        try:
            await send(message)
        except Exception as error:
            log.warning("answer_not_sent", error=str(error))

    return send_or_drop


def trusted(scope: Scope) -> Scope:
    """Without headers whose names hold `_`: in WSGI they would pass for those with `-`.

    What a client writes in the query string beyond ASCII is escaped, as it should have done.
    """
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    query = scope["query_string"].decode("latin-1").encode("ascii", "backslashreplace")
    return {**scope, "headers": headers, "query_string": query}


async def arrived(receive: Receive) -> list[Message]:
    """Wait for the body: a client that stalls while it sends must hold no thread.

    Django reads none of a larger one.
    """
    messages = [await receive()]
    size = len(messages[0].get("body", b""))
    while messages[-1].get("more_body") and size < settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
    return messages


def replayed(messages: list[Message], receive: Receive) -> Receive:
    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again
