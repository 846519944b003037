"""Django behind an ASGI server, in threads as under any WSGI server.

Each thread keeps its database connection, and long downloads stream. Under Django's own ASGI
handler neither is so: each request has a thread of its own, and what streams is gathered first.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from a2wsgi import WSGIMiddleware

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

THREADS = 8
# What is read of a body before a thread is given to the request: a form of a page is far smaller.
WHOLE = 2**20


def bridge(django: Any) -> Application:
    """The ASGI application that runs a WSGI one."""
    threads = cast(Application, WSGIMiddleware(django, workers=THREADS))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await threads(trusted(scope), await arrived(receive), send)

    return application


def trusted(scope: Scope) -> Scope:
    """Without headers whose names hold `_`: in WSGI they would pass for those with `-`.

    What a client writes in the query string beyond ASCII is escaped, as it should have done.
    """
    headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    query = scope["query_string"].decode("latin-1").encode("ascii", "backslashreplace")
    return {**scope, "headers": headers, "query_string": query}


async def arrived(receive: Receive) -> Receive:
    """Wait for the body: a client that stalls while it sends must hold no thread."""
    messages = [await receive()]
    size = len(messages[0].get("body", b""))
    while messages[-1].get("more_body") and size < WHOLE:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))

    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed
