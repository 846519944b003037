"""Django behind an ASGI server, in threads as under any WSGI server.

Each thread keeps its database connection, and long downloads stream. Under Django's own ASGI
handler neither is so: each request has a thread of its own, and what streams is gathered first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import structlog
from a2wsgi import WSGIMiddleware
from django.conf import settings

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 8

log = structlog.get_logger()


def bridge(django: Any) -> Application:
    """The ASGI application that runs a WSGI one."""
    threads = cast(Application, WSGIMiddleware(until_the_client_is_gone(django), workers=THREADS))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        messages = await arrived(receive)
        send = without_errors(send)
        if messages[-1].get("more_body"):
            await threads(trusted(scope), replayed(messages, receive), send)
            return
        gone = asyncio.ensure_future(receive())  # all that can come yet is the end
        try:
            known = trusted(scope) | {"gone": gone}
            await threads(known, replayed(messages, receive), send)
        finally:
            gone.cancel()

    return application


def until_the_client_is_gone(django: Any) -> Any:
    """A long download ends with its client: else its thread would go on for nobody."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        gone = environ["asgi.scope"].get("gone")
        answer = django(environ, start_response)
        try:
            for chunk in answer:
                yield chunk
                if gone and gone.done():
                    return
        finally:
            answer.close()

    return application


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
