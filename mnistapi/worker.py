"""How gunicorn's workers serve the ASGI application."""

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from mnistapi.protocol import Protocol


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no types
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": Protocol,
        "ws": "none",
        "lifespan": "on",
        # The one line a request is ours, and so is what is believed of a proxy.
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }
