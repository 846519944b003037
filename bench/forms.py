"""The same digits in all forms: `python -m bench.forms RELEASE`.

The 10,000 test images go over HTTP to the product, a hundred a call. Prints for each form how many
are right, how many are rejected, and how many come out otherwise than as numbers.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.servers import new_site
from model import data, serving
from model.data import Digits
from tests.pictures import MULTIPART, form, jpeg, png
from tests.serving import Issue, Server, new_database

BATCH = 100
REJECTED = -1

Images = NDArray[np.uint8]  # [n, 28, 28]
Body = tuple[str, bytes | list[Any]]  # its type, and what is in it


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.forms", description=__doc__)
    parser.add_argument("release", nargs="?", default="cnn-1")
    release = parser.parse_args().release
    digits = data.load().test
    with serving_release(str(serving.release_folder(release))) as (server, key):
        answers = {name: answered(server, key, digits, body) for name, body in FORMS.items()}
    print(report(digits, answers))


@contextmanager
def serving_release(folder: str) -> Iterator[tuple[Server, str]]:
    with new_site() as site:
        environment = {"MODEL_RELEASE": folder, "MODEL_RUNTIME": "litert"}
        server = Server(new_database(site.database_url), site.folder, environment)
        try:
            server.start()
            (key,) = server.issue(Issue("bench@example.com"))
            yield server, key
        finally:
            server.stop()


def answered(
    server: Server, key: str, digits: Digits, body_of: Callable[[Images], Body]
) -> NDArray[np.int64]:
    """The digit of each image, or REJECTED."""
    seen = []
    for start in range(0, len(digits.labels), BATCH):
        kind, body = body_of(digits.images[start : start + BATCH])
        answer = server.post("/v1/predictions", body, key, **{"Content-Type": kind})
        assert answer.status == 200, answer.text
        seen += [one["digit"] for one in answer.body["predictions"]]
    return np.array([REJECTED if digit is None else digit for digit in seen])


def as_numbers(images: Images) -> Body:
    return "application/json", images.tolist()


def as_array(images: Images) -> Body:
    file = io.BytesIO()
    np.save(file, images)
    return "application/x-npy", file.getvalue()


def as_files(saved: Callable[[Images], bytes], images: Images) -> Body:
    return MULTIPART, form([saved(image) for image in images])


FORMS: dict[str, Callable[[Images], Body]] = {
    "numbers": as_numbers,
    ".npy": as_array,
    "PNG": partial(as_files, png),
    "JPEG, quality 95": partial(as_files, partial(jpeg, quality=95)),
    "JPEG, quality 75": partial(as_files, partial(jpeg, quality=75)),
}


def report(digits: Digits, answers: dict[str, NDArray[np.int64]]) -> str:
    lines = [f"{'':18}{'right':>8}{'rejected':>10}{'otherwise':>11}"]
    for name, seen in answers.items():
        right, rejected = (seen == digits.labels).sum(), (seen == REJECTED).sum()
        otherwise = (seen != answers["numbers"]).sum()
        lines.append(f"{name:18}{right:8,}{rejected:10,}{otherwise:11,}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
