"""How gunicorn's workers serve the ASGI application."""

import gc
from functools import partial
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from mnistapi.memory import keep_what_is_freed
from mnistapi.protocol import Protocol
from mnistapi.seats import Seat

# Objects that a process has more than before, until it looks for garbage among them: as many as the
# calls of a full batch have, so that none of these is looked at while it is alive.
YOUNG_OBJECTS = 10_000


class Worker(UvicornWorker):  # type: ignore[misc]  # it has no types
    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        # The one line a request is ours, and so is what is believed of a proxy.
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
    }

    seat: Seat  # as gunicorn.conf.py gives it

    def load_wsgi(self) -> None:
        keep_what_is_freed()
        super().load_wsgi()
        self.config.http = partial(Protocol, self.seat)
        gc.freeze()  # what is loaded stays
        gc.set_threshold(YOUNG_OBJECTS)
        self.seat.tell(0)
