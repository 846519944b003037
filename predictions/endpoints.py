"""What can be called, for both doors: where, in which forms images are sent, how it is answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from accounts.models import APIKey
from mnistapi.problems import (
    BAD_REQUEST,
    BODY_TOO_LARGE,
    LENGTH_REQUIRED,
    UNSUPPORTED_MEDIA_TYPE,
    Problem,
    problem_from,
)
from predictions import answers, forms, idempotency
from predictions.calls import OpenCall, Receipt
from predictions.forms import Form


class Head(NamedTuple):
    """What the headers of a call say of it: "" for one that is not there."""

    content_type: str
    content_length: str
    transfer_encoding: str
    idempotency_key: str | None

    @property
    def media_type(self) -> str:
        return media_type_of(self.content_type)


@lru_cache(maxsize=64)
def media_type_of(content_type: str) -> str:
    """Without its parameters: JSON is UTF-8, whatever they say."""
    return content_type.partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Endpoint:
    path: str
    forms: Mapping[str, Form]
    write: Callable[[Receipt], bytes]

    def open(self, id: UUID, key: APIKey, began: float) -> OpenCall:
        return OpenCall(id, key, began, self.write)

    def length_of(self, head: Head) -> int:
        """Of the body to be read, in bytes. Raises the problem with one that is not."""
        form = self.forms.get(head.media_type)
        if form is None:
            raise Problem(
                UNSUPPORTED_MEDIA_TYPE, f"Send `Content-Type: {'` or `'.join(self.forms)}`."
            )
        if not head.content_length or head.transfer_encoding:
            raise Problem(LENGTH_REQUIRED, "Send the body whole, with its `Content-Length`.")
        if not (head.content_length.isascii() and head.content_length.isdigit()):
            raise Problem(BAD_REQUEST, "`Content-Length` is not a number.")
        length = int(head.content_length)
        if length > form.max_body:
            raise Problem(BODY_TOO_LARGE, f"The body may have {form.max_body:,} bytes.")
        return length

    def is_large(self, head: Head) -> bool:
        """Whether it takes long to read the body, whatever is in it. Raises as `length_of`."""
        return self.length_of(head) > self.forms[head.media_type].quick

    def has_pictures(self, head: Head, body: bytes) -> bool:
        """Whether it may take long to read the body, however small it is."""
        return self.forms[head.media_type].has_pictures(body)

    def fill(self, call: OpenCall, head: Head, body: bytes) -> None:
        """Give the call what its body asks for or, as it is logged all the same, why it
        has no images.

        `head` is one that `length_of` took.
        """
        form = self.forms[head.media_type]
        try:
            if len(body) < int(head.content_length):
                raise Problem(BAD_REQUEST, "The connection ended before the body did.")
            if head.idempotency_key is not None:
                essence = form.essence(body, head.content_type)
                call.retry = idempotency.retry(
                    head.idempotency_key, self.path, head.media_type, essence
                )
            call.images, call.release = form.decode(body, head.content_type)
        except Exception as error:
            call.refusal = problem_from(error)


PREDICTIONS = Endpoint("/v1/predictions", forms.FORMS, answers.answer)
BLOG = Endpoint("/", forms.BLOG_FORMS, answers.blog_answer)
ENDPOINTS = {endpoint.path: endpoint for endpoint in (PREDICTIONS, BLOG)}
