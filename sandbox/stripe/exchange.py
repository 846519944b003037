"""What passes over HTTP: a request, and the reply to it."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sandbox.stripe import form
from sandbox.stripe.errors import Refusal, invalid
from sandbox.stripe.store import Json


@dataclass
class Request:
    """`headers` have lower-case names."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key") if self.method == "POST" else None

    @cached_property
    def params(self) -> Json:
        """From the query, a form body, or, in version 2 of the API, a JSON body."""
        try:
            if self.method != "POST":
                return form.decode(self.query)
            if self.path.startswith("/v2/"):
                body: Any = json.loads(self.body or b"{}")
                return body if isinstance(body, dict) else {}
            return form.decode(self.body.decode())
        except ValueError:
            raise invalid("The body of the request cannot be read.") from None


@dataclass
class Reply:
    """`lost` is an answer that never arrives: the connection is closed instead."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False


def refused(refusal: Refusal, id: str) -> Reply:
    error = {**refusal.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{id}"}
    return Reply(refusal.status, written({"error": error}), dict(refusal.headers))


def written(body: Json) -> bytes:
    return json.dumps(body, indent=2).encode()
