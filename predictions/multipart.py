"""Forms with files, as browsers and `curl --form` send them, read by Django's parser in memory."""

from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation, TooManyFilesSent
from django.core.files.base import ContentFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import parse_header_parameters

from mnistapi.problems import MALFORMED_MULTIPART, TOO_MANY_IMAGES, UNKNOWN_FIELD, Problem
from predictions.images import Options, options, wrong_shape

FILES = "image"


class InMemory(FileUploadHandler):
    """Keeps each file, as the whole body is in memory already; Django's would write to the disk."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.parts: list[bytes] = []

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.parts.append(raw_data)

    def file_complete(self, file_size: int) -> Any:
        return ContentFile(b"".join(self.parts))


def files_and_options(body: bytes, content_type: str) -> tuple[list[bytes], Options]:
    """The files `image` of a form in the order that they have there, and its other fields."""
    fields, files = parsed(body, content_type)
    if unknown := set(fields) - set(Options._fields) - {FILES} | set(files) - {FILES}:
        raise Problem(UNKNOWN_FIELD, f"There is no field {min(unknown)[:40]!r}.")
    images = [file.read() for file in files.getlist(FILES)]
    if FILES in fields or not images:
        wrong_shape(f'Give one or more files "{FILES}", each with a file name.')
    return images, options(fields.get("ink"), fields.get("release"))


def parsed(body: bytes, content_type: str) -> tuple[Any, Any]:
    """Fields and files, by Django's parser, which stops at the number of files of its settings."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(body))}
    if not boundary(content_type) or closing(content_type) not in body:
        raise Problem(MALFORMED_MULTIPART, "The form does not end with its boundary.")
    try:
        return MultiPartParser(meta, BytesIO(body), [InMemory()]).parse()
    except TooManyFilesSent as error:
        raise Problem(
            TOO_MANY_IMAGES,
            f"A form may have {settings.DATA_UPLOAD_MAX_NUMBER_FILES} files. Send others in "
            "another call.",
        ) from error
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise Problem(MALFORMED_MULTIPART, f"The form cannot be read: {error}") from error


def boundary(content_type: str) -> bytes:
    """What stands between the parts; empty if nothing is said of it that can be."""
    try:
        return parse_header_parameters(content_type)[1].get("boundary", "").encode("ascii")
    except ValueError:
        return b""


def closing(content_type: str) -> bytes:
    return b"--" + boundary(content_type) + b"--"


def without_boundary(body: bytes, content_type: str) -> bytes:
    """What two forms have in common that ask for the same: each has a boundary of its own."""
    return body.replace(boundary(content_type), b"") if boundary(content_type) else body
