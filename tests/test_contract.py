"""One contract, two doors: the same bytes get the same answer and leave the same row through both.

Over HTTP, against gunicorn, with what a test client cannot send. What a request is answered is said
here, so that both doors cannot be wrong alike.
"""

import base64
import re
import secrets
import subprocess
import uuid
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from tests.conftest import DIGIT
from tests.pictures import MULTIPART, THREE, animation, black_png, form, jpeg, png
from tests.serving import Answer, Issue, Server, answer_of

RAW = DIGIT.read_bytes()
FLAT = orjson.loads(RAW)
ROWS = [FLAT[start : start + 28] for start in range(0, 784, 28)]
PIXELS = np.array(FLAT, np.uint8)
JSON, NPY = "Content-Type: application/json", "Content-Type: application/x-npy"
PNG, JPEG = "Content-Type: image/png", "Content-Type: image/jpeg"
FORM = f"Content-Type: {MULTIPART}"
PICTURE = png(THREE)
TEXT = base64.b64encode(PICTURE).decode()
LARGE = jpeg(Image.fromarray(255 - THREE).resize((1600, 1600)))
KEY = "Authorization: Bearer {key}"
PREDICTIONS = "/v1/predictions"


def dumped(value: object) -> bytes:
    return orjson.dumps(value)


def saved(array: Any) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


@dataclass(frozen=True)
class Request:
    """One request, and what it is answered: a `code` for a problem, "" for what is none.

    In `head`, {key} is the key of whoever calls; {other} is a key that the case names. `logged` is
    whether it leaves a row.
    """

    body: bytes = RAW
    status: int = 200
    code: str = ""
    content: str = JSON
    head: tuple[str, ...] = ()
    key: str = KEY
    path: str = PREDICTIONS
    method: str = "POST"
    host: str = "Host: 127.0.0.1:{port}"
    length: str | None = None
    half_close: bool = False
    version: str = "HTTP/1.1"
    logged: bool = True

    def to(self, server: Server, key: str) -> bytes:
        length = str(len(self.body)) if self.length is None else self.length
        lines = [
            f"{self.method} {self.path} {self.version}",
            self.host,
            self.key,
            self.content,
            f"Content-Length: {length}" if length else "",
            *self.head,
        ]
        head = "\r\n".join(filter(None, lines)) + "\r\n\r\n"
        head = head.replace("{key}", key).replace("{port}", str(server.port))
        return head.encode("latin-1") + self.body


def refused(status: int, code: str, body: bytes = RAW, **of_request: Any) -> Request:
    return Request(body, status, code, **of_request)


def unauthorized(code: str, **of_request: Any) -> Request:
    return Request(status=401, code=code, logged=False, **of_request)


ANSWERED = {
    "784 numbers": Request(),
    "28 rows of 28": Request(dumped(ROWS)),
    "a list of flat images": Request(dumped([FLAT, FLAT, FLAT])),
    "a list of rows": Request(dumped([ROWS, ROWS])),
    "an object with an image": Request(dumped({"image": ROWS})),
    "an object with images and ink": Request(dumped({"images": [FLAT, ROWS], "ink": "dark"})),
    "light ink": Request(dumped({"image": FLAT, "ink": "light"})),
    "numbers in 0..1": Request(dumped([number / 255 for number in FLAT])),
    "a uint8 npy": Request(saved(PIXELS.reshape(28, 28)), content=NPY),
    "a float32 npy": Request(saved(np.float32([PIXELS, PIXELS])), content=NPY),
    "a float64 npy": Request(saved(PIXELS.reshape(1, 28, 28) / 255), content=NPY),
    "a hundred in an npy": Request(saved(np.tile(PIXELS, (100, 1))), content=NPY),
    "two hundred in JSON": Request(dumped([FLAT] * 200)),
    "a PNG": Request(PICTURE, content=PNG),
    "a PNG of a few bytes and many pixels": Request(black_png(2048, 2048), content=PNG),
    "a large JPEG": Request(LARGE, content=JPEG),
    "a JPEG that is called PNG": Request(LARGE, content=PNG),
    "a form of files": Request(form([PICTURE, LARGE], ink="light"), content=FORM),
    "a PNG in JSON": Request(dumped({"image": TEXT})),
    "PNGs in JSON": Request(dumped({"images": [TEXT] * 60, "ink": "light"})),
    "a type with parameters": Request(content="Content-Type: Application/JSON; charset=latin-1"),
    "a type with parameters that cannot be read": Request(content=f"{JSON}; a*=foo'en'bar"),
    "a key in X-API-Key": Request(key="X-API-Key: {key}"),
    "a key in both headers": Request(head=("X-API-Key: mnist_live_not",)),
    "a scheme in small letters": Request(key="authorization: bearer   {key} "),
    "another scheme beside X-API-Key": Request(
        key="Authorization: Basic eDp5", head=("X-API-Key: {key}",)
    ),
    "a query": Request(path=f"{PREDICTIONS}?a=1&b=%ff"),
    "an escaped path": Request(path="/v1/%70redictions"),
    "a whole address": Request(path="http://127.0.0.1:{port}/v1/predictions"),
    "HTTP/1.0": Request(version="HTTP/1.0"),
    "who expects 100 Continue and does not wait": Request(head=("Expect: 100-continue",)),
    "who sends all and listens": Request(half_close=True),
    "headers that are nobody's": Request(
        head=("X_API_Key: mnist_live_not", "X_Forwarded_Proto: https", "X-Request-Id: mine")
    ),
    "an idempotency key": Request(head=("Idempotency-Key: one",)),
    "two idempotency keys, which make one": Request(
        head=("Idempotency-Key: one", "Idempotency-Key: two")
    ),
    "who would speak WebSocket": Request(head=("Connection: Upgrade", "Upgrade: websocket")),
    "who would speak HTTP/2": Request(
        head=("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    ),
    "another host that is ours": Request(host="Host: 127.0.0.1"),
    "the blog's image": Request(path="/"),
    "the blog's image with a query": Request(path="/?a=1"),
    "the blog's image in 0..1": Request(dumped([number / 255 for number in FLAT]), path="/"),
}

BLOG = {"path": "/"}
REFUSED = {
    # who calls
    "no key": unauthorized("missing_key", key=""),
    "an empty key": unauthorized("missing_key", key="X-API-Key:  "),
    "another scheme": unauthorized("missing_key", key="Authorization: Basic eDp5"),
    "no key at all behind the scheme": unauthorized("invalid_key", key="Authorization: Bearer "),
    "a key of nobody's form": unauthorized("invalid_key", key="X-API-Key: mnist_live_x"),
    "a key beyond ASCII": unauthorized("invalid_key", key="X-API-Key: mnist_live_\xe9"),
    "a key that was never issued": unauthorized(
        "invalid_key", key="X-API-Key: mnist_test_KA7lZCsGoEcQzGJHuk1697BcNhj2zP0KQ0uK"
    ),
    "two keys in one header": unauthorized(
        "invalid_key", key="X-API-Key: {key}", head=("X-API-Key: {key}",)
    ),
    "no key, and no JSON": unauthorized("missing_key", key="", body=b"["),
    "no key of the blog": unauthorized("missing_key", key="", **BLOG),
    "a key in a query": refused(
        400, "key_in_query", path=PREDICTIONS + "?a={key}", logged=False, key=""
    ),
    "a key in a query, escaped, beside a good one": refused(
        400, "key_in_query", path="/?mnist%5Flive_KA7lZCsGoEcQzGJHuk1697BcNhj2zP0KQ0uK",
        logged=False,
    ),
    # what it is said to be
    "no type": refused(415, "unsupported_media_type", content=""),
    "another type": refused(415, "unsupported_media_type", content="Content-Type: text/plain"),
    "a form": refused(
        415, "unsupported_media_type", content="Content-Type: application/x-www-form-urlencoded"
    ),
    "npy for the blog": refused(
        415, "unsupported_media_type", saved(PIXELS), content=NPY, **BLOG
    ),
    "no length": refused(411, "length_required", b"", length=""),
    "a chunked body": refused(
        411,
        "length_required",
        b"3\r\n[0]\r\n0\r\n\r\n",
        length="",
        head=("Transfer-Encoding: chunked",),
    ),
    "another type before the length": refused(
        415, "unsupported_media_type", b"", length="", content="Content-Type: image/gif"
    ),
    "more JSON than is read": refused(413, "body_too_large", b"[" + b" " * 2**21 + b"]"),
    "more npy than is read": refused(413, "body_too_large", b"x" * (10 * 2**20 + 1), content=NPY),
    "a body that ends early": refused(400, "bad_request", b"[0, 0", length="2000", half_close=True),
    "a large body that ends early": refused(
        400, "bad_request", b" " * 100_000, length="200000", half_close=True
    ),
    "a body that never begins": refused(400, "bad_request", b"", length="10", half_close=True),
    # what it is
    "an empty body": refused(400, "malformed_json", b""),
    "an empty npy": refused(400, "malformed_npy", b"", content=NPY),
    "half a list": refused(400, "malformed_json", RAW[:100]),
    "deep nesting": refused(400, "malformed_json", b"[" * 100_000),
    "deep nesting that ends": refused(400, "malformed_json", b"[" * 5_000 + b"]" * 5_000),
    "NaN": refused(400, "malformed_json", b"[NaN]"),
    "bad UTF-8": refused(400, "malformed_json", b'{"image": "\xff"}'),
    "null": refused(422, "wrong_shape", b"null"),
    "an empty list": refused(422, "wrong_shape", b"[]"),
    "783 numbers": refused(422, "wrong_shape", dumped(FLAT[1:])),
    "785 numbers for the blog": refused(422, "wrong_shape", dumped([0, *FLAT]), **BLOG),
    "rows for the blog": refused(422, "wrong_shape", dumped(ROWS), **BLOG),
    "an image and images": refused(422, "wrong_shape", dumped({"image": FLAT, "images": [FLAT]})),
    "two images as one": refused(422, "wrong_shape", dumped({"image": [FLAT, FLAT]})),
    "an unknown field": refused(422, "unknown_field", dumped({"image": FLAT, "\u00e9": 1})),
    "an unknown ink": refused(422, "invalid_ink", dumped({"image": FLAT, "ink": "red"})),
    "text for a pixel": refused(422, "not_a_number", dumped(["0", *FLAT[1:]])),
    "true for a pixel": refused(422, "not_a_number", dumped([True, *FLAT[1:]])),
    "256": refused(422, "pixel_out_of_range", dumped([256, *FLAT[1:]])),
    "below 0, for the blog": refused(422, "pixel_out_of_range", dumped([-0.5, *FLAT[1:]]), **BLOG),
    "no npy": refused(400, "malformed_npy", RAW, content=NPY),
    "half an npy": refused(400, "malformed_npy", saved(PIXELS)[:500], content=NPY),
    "an npy of integers": refused(422, "not_a_number", saved(PIXELS.astype(int)), content=NPY),
    "an npy of another shape": refused(
        422, "wrong_shape", saved(PIXELS.reshape(4, 196)), content=NPY
    ),
    "an npy with NaN": refused(
        422, "not_a_number", saved(np.full((2, 784), np.nan)), content=NPY
    ),
    "an npy above 255": refused(
        422, "pixel_out_of_range", saved(np.full(784, 255.5)), content=NPY
    ),
    "more images than any plan allows": refused(
        422, "too_many_images", saved(np.zeros((2_001, 784), np.uint8)), content=NPY
    ),
    "a PNG for the blog": refused(415, "unsupported_media_type", PICTURE, content=PNG, **BLOG),
    "a form for the blog": refused(
        415, "unsupported_media_type", form([PICTURE]), content=FORM, **BLOG
    ),
    "more JPEG than is read": refused(
        413, "body_too_large", b"\xff\xd8\xff" + b"x" * (10 * 2**20), content=JPEG
    ),
    "a PNG that is cut off": refused(400, "malformed_picture", PICTURE[:-9], content=PNG),
    "a large JPEG that is cut off": refused(400, "malformed_picture", LARGE[:-9], content=JPEG),
    "text that is called PNG": refused(415, "unsupported_picture", RAW, content=PNG),
    "a bomb": refused(422, "too_many_pixels", black_png(9_000, 9_000), content=PNG),
    "an animation": refused(422, "animated_picture", animation(), content=PNG),
    "a text that is no base64": refused(422, "invalid_base64", dumped({"image": "?" * 200})),
    "a bomb in JSON": refused(
        422,
        "too_many_pixels",
        dumped({"image": base64.b64encode(black_png(3_000, 3_000)).decode()}),
    ),
    "a form that is cut off": refused(
        400, "malformed_multipart", form([PICTURE])[:-9], content=FORM
    ),
    "a form without a boundary": refused(
        400, "malformed_multipart", form([PICTURE]), content="Content-Type: multipart/form-data"
    ),
    "a form without a file": refused(422, "wrong_shape", form([], ink="dark"), content=FORM),
    "a release that is no name": refused(
        422, "invalid_release", dumped({"image": FLAT, "release": "x" * 101})
    ),
    # idempotency
    "an empty idempotency key": refused(
        422, "invalid_idempotency_key", head=("Idempotency-Key:",)
    ),
    "a long idempotency key": refused(
        422, "invalid_idempotency_key", head=("Idempotency-Key: " + "k" * 256,)
    ),
    "an idempotency key beyond ASCII": refused(
        422, "invalid_idempotency_key", head=("Idempotency-Key: \xe9",)
    ),
    # what is no call
    "GET": refused(405, "method_not_allowed", b"", method="GET", logged=False),
    "PUT": refused(405, "method_not_allowed", method="PUT", logged=False),
    "DELETE of the blog": refused(
        405, "method_not_allowed", b"", method="DELETE", logged=False, **BLOG
    ),
    "OPTIONS": refused(405, "method_not_allowed", b"", method="OPTIONS", logged=False),
    "PUT without a key": unauthorized("missing_key", method="PUT", key=""),
    "another path": refused(404, "not_found", path="/v1/prediction", logged=False),
    "a path beyond ASCII": refused(404, "not_found", path="/v1/%ff%c3%a9", logged=False),
    "a path that goes on": refused(404, "not_found", path=f"{PREDICTIONS}/", logged=False),
    "a wrong host": refused(400, "bad_request", host="Host: example.com", logged=False),
    "two hosts in one": refused(
        400, "bad_request", host="Host: 127.0.0.1, example.com", logged=False
    ),
    "a host beyond ASCII": refused(400, "bad_request", host="Host: 127.0.0.1\xe9", logged=False),
}  # fmt: skip

# What differs from answer to answer of one door already.
OF_THE_MOMENT = {"date", "server", "connection", "keep-alive", "transfer-encoding", "x-request-id"}


@dataclass
class Caller:
    """Somebody at one door. The other door has his double, who has sent just the same so far."""

    server: Server
    email: str
    key: str

    def sends(self, request: Request) -> "Seen":
        raw = request.to(self.server, self.key)
        return self.saw(self.server.exchange(raw, request.half_close))

    def saw(self, answer: Answer) -> "Seen":
        request_id = answer.headers["X-Request-Id"]
        rows = self.server.rows(
            "SELECT u.email, k.kind, c.release, c.units, c.status, c.problem "
            "FROM predictions_call c JOIN accounts_apikey k ON k.id = c.key_id "
            "JOIN accounts_customer m ON m.id = c.customer_id AND m.id = k.customer_id "
            "JOIN accounts_user u ON u.id = m.user_id WHERE c.id = %s",
            request_id,
        )
        headers = {
            name.lower(): comparable(name.lower(), value)
            for name, value in answer.headers.items()
            if name.lower() not in OF_THE_MOMENT
        }
        texts = {request_id or "-": "ID", self.server.url: "URL", self.key: "KEY"}
        return Seen(answer, answer.status, headers, replaced(answer.raw, texts), rows, self.email)

    def alters(self, **columns: object) -> None:
        """Set columns of his account."""
        self.server.rows(
            f"UPDATE billing_account SET {', '.join(f'{name} = %s' for name in columns)} "
            "WHERE customer_id = (SELECT c.id FROM accounts_customer c "
            "JOIN accounts_user u ON u.id = c.user_id WHERE u.email = %s)",
            *columns.values(),
            self.email,
        )

    @property
    def books(self) -> list[tuple[Any, ...]]:
        """His account and his hours, without times."""
        whose = (
            "WHERE customer_id = (SELECT c.id FROM accounts_customer c "
            "JOIN accounts_user u ON u.id = c.user_id WHERE u.email = %s)"
        )
        return [
            *self.server.rows(
                "SELECT live_units, test_units, allowance_told, spend_told FROM billing_account "
                + whose,
                self.email,
            ),
            *self.server.rows(
                "SELECT release, sum(calls), sum(units), sum(errors) FROM billing_usagehour "
                f"{whose} GROUP BY release ORDER BY release",
                self.email,
            ),
        ]


def comparable(name: str, value: str) -> str:
    """Without what time alone changes."""
    if name == "content-security-policy":  # django-csp has another order in each process
        return "; ".join(sorted(value.split("; ")))
    if name == "ratelimit" and "volume" not in value:  # whose burst is whole at once
        return re.sub(r"\d+", "N", value)
    return value


def replaced(raw: bytes, texts: dict[str, str]) -> str:
    text = raw.decode()
    for old, new in texts.items():
        text = text.replace(old, new)
    return text


@dataclass
class Seen:
    """What a request led to; but for `answer` and `email`, two doors must agree on it."""

    answer: Answer
    status: int
    headers: dict[str, str]
    text: str
    rows: list[tuple[Any, ...]]
    email: str

    def __post_init__(self) -> None:
        self.rows = [("EMAIL", *row[1:]) if row[0] == self.email else row for row in self.rows]

    @property
    def code(self) -> str:
        """Of the problem; "" for what is none."""
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return str(self.answer.body["code"]) if is_problem else ""

    def without_numbers(self) -> "Seen":
        """For what counts down: how long it is to wait."""
        headers = {name: re.sub(r"\d+", "N", value) for name, value in self.headers.items()}
        return replace(self, headers=headers, text=re.sub(r"\d+(\.\d+)?", "N", self.text))


def differences(asgi: Seen, wsgi: Seen) -> dict[str, tuple[object, object]]:
    """What the doors do not agree on: as each has it."""
    of = [
        {"status": seen.status, "text": seen.text, "rows": seen.rows, **seen.headers}
        for seen in (asgi, wsgi)
    ]
    names = of[0].keys() | of[1].keys()
    both = {name: (of[0].get(name), of[1].get(name)) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


@dataclass
class Doubles:
    """A caller and his double, one at each door."""

    callers: list[Caller]

    def send(self, request: Request, exactly: bool = True) -> Seen:
        """The same request at each door; what they saw, which is the same."""
        asgi, wsgi = both = [caller.sends(request) for caller in self.callers]
        if not exactly:
            asgi, wsgi = (seen.without_numbers() for seen in both)
        assert differences(asgi, wsgi) == {}
        return both[0]

    def alter(self, **columns: object) -> None:
        for caller in self.callers:
            caller.alters(**columns)


def doubles(servers: list[Server], kind: str, plan: str) -> Doubles:
    emails = [f"{secrets.token_hex(8)}@example.com" for _ in servers]
    keys = servers[0].issue(*(Issue(email, kind, plan) for email in emails))
    return Doubles([Caller(*of) for of in zip(servers, emails, keys, strict=True)])


@pytest.fixture(scope="session")
def servers(server: Server, wsgi_server: Server) -> list[Server]:
    return [server, wsgi_server]


@pytest.fixture(scope="session")
def callers(servers: list[Server]) -> Doubles:
    return doubles(servers, "live", "volume")


@pytest.fixture
def newcomers(servers: list[Server]) -> Doubles:
    """On a plan with an end, for those tests that come to it."""
    return doubles(servers, "live", "free")


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_sent_well_is_answered_and_logged_alike_by_both_doors(
    name: str, callers: Doubles
) -> None:
    seen = callers.send(ANSWERED[name])
    assert (seen.status, seen.code) == (200, ""), seen.text
    ((_, kind, release, units, status, problem),) = seen.rows
    assert (kind, release, status, problem) == ("live", "softmax-1", 200, "")
    answer = seen.answer.body
    if ANSWERED[name].path.startswith("/?") or ANSWERED[name].path == "/":
        assert len(answer) == 10
        assert units == 1
    else:
        assert len(answer["predictions"]) == answer["usage"]["units"] == units
        assert answer["id"] == seen.answer.headers["X-Request-Id"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_and_logged_alike_by_both_doors(
    name: str, callers: Doubles
) -> None:
    request = REFUSED[name]
    seen = callers.send(request)
    assert (seen.status, seen.code) == (request.status, request.code), seen.text
    problem = seen.answer.body
    assert problem["billed"] is False
    assert problem["request_id"] == seen.answer.headers["X-Request-Id"]
    row = ("EMAIL", "live", "", 0, request.status, request.code)
    assert seen.rows == ([row] if request.logged else [])


def test_the_books_of_both_doors_agree_in_the_end(callers: Doubles) -> None:
    callers.send(Request())
    asgi, wsgi = (caller.books for caller in callers.callers)
    assert asgi == wsgi


def test_head_and_options_of_a_page_are_answered_alike(callers: Doubles) -> None:
    for method in ("HEAD", "GET"):
        seen = callers.callers[0].sends(Request(b"", method=method, path="/", content="", key=""))
        other = callers.callers[1].sends(Request(b"", method=method, path="/", content="", key=""))
        assert (seen.status, seen.headers) == (other.status, other.headers)
    head = callers.send(Request(b"", method="HEAD", length="", content=""))
    assert (head.status, head.text, head.rows) == (405, "", [])


# Limits


def test_a_free_allowance_that_is_used_up_is_said_alike(newcomers: Doubles) -> None:
    newcomers.send(Request())
    newcomers.alter(live_units=999)
    over = newcomers.send(refused(402, "payment_required", dumped([FLAT, FLAT])))
    assert (over.status, over.code) == (402, "payment_required")
    last = newcomers.send(Request())
    assert last.answer.body["usage"]["remaining_free"] == 0
    over = newcomers.send(refused(402, "payment_required"))
    assert over.rows == [("EMAIL", "live", "", 0, 402, "payment_required")]
    many = newcomers.send(refused(422, "too_many_images", dumped([FLAT] * 101)))
    assert many.code == "too_many_images"
    malformed = newcomers.send(refused(400, "malformed_json", b"["))
    assert malformed.code == "malformed_json"


def test_a_spend_limit_that_is_reached_is_said_alike(newcomers: Doubles) -> None:
    newcomers.alter(plan="payg", spend_limit_cents=0)
    newcomers.send(Request())
    newcomers.alter(live_units=1_000)
    over = newcomers.send(refused(402, "spend_limit_reached"))
    assert (over.status, over.code) == (402, "spend_limit_reached")
    assert over.rows == [("EMAIL", "live", "", 0, 402, "spend_limit_reached")]


def test_a_suspended_account_is_refused_alike_whatever_it_sends(newcomers: Doubles) -> None:
    newcomers.alter(status="suspended")
    for request in (Request(), Request(b"["), Request(content="")):
        seen = newcomers.send(request)
        assert (seen.status, seen.code) == (403, "account_suspended")
        assert seen.rows == [("EMAIL", "live", "", 0, 403, "account_suspended")]


def test_a_rate_that_is_used_up_is_said_alike_whatever_is_sent(newcomers: Doubles) -> None:
    for request in (Request(), Request(b"["), Request(content="")):
        newcomers.callers[0].server.rows(
            "UPDATE billing_account SET live_tat = now() + interval '3600.6 s' WHERE plan = 'free'"
        )
        seen = newcomers.send(request, exactly=False)
        assert (seen.status, seen.code) == (429, "rate_limited")
        assert seen.rows == [("EMAIL", "live", "", 0, 429, "rate_limited")]
        assert 3_530 <= int(seen.headers["retry-after"]) <= 3_591
        assert seen.headers["ratelimit-policy"] == '"free";q=50;w=10'
        assert re.fullmatch(r'"free";r=0;t=3[56]\d\d', seen.answer.headers["RateLimit"])


def test_the_end_of_a_test_allowance_is_said_alike(servers: list[Server]) -> None:
    testers = doubles(servers, "test", "payg")
    assert testers.send(Request()).answer.body["usage"]["livemode"] is False
    testers.alter(test_units=20_000)
    over = testers.send(Request(), exactly=False)
    assert (over.status, over.code) == (429, "test_allowance_used_up")
    assert over.rows == [("EMAIL", "test", "", 0, 429, "test_allowance_used_up")]


def test_a_dead_key_is_refused_alike_and_leaves_no_row(newcomers: Doubles) -> None:
    newcomers.send(Request())
    books = [caller.books for caller in newcomers.callers]
    for column, code in (("expires_at", "expired_key"), ("revoked_at", "revoked_key")):
        for caller in newcomers.callers:
            caller.server.rows(
                f"UPDATE accounts_apikey SET {column} = now() WHERE prefix = %s", caller.key[:19]
            )
        for _ in range(2):  # a process that remembers the key learns of it by the first
            seen = newcomers.send(Request())
            assert (seen.status, seen.code, seen.rows) == (401, code, [])
    assert [caller.books for caller in newcomers.callers] == books


# Retries


def test_a_retry_is_answered_alike_and_costs_nothing(newcomers: Doubles) -> None:
    request = Request(head=("Idempotency-Key: a",))
    first = newcomers.callers[0].sends(request), newcomers.callers[1].sends(request)
    assert differences(*first) == {}
    books = [caller.books for caller in newcomers.callers]
    again = newcomers.send(request, exactly=False)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.answer.raw == first[0].answer.raw
    assert again.answer.headers["X-Request-Id"] == first[0].answer.headers["X-Request-Id"]
    assert [caller.books for caller in newcomers.callers] == books

    for other in (
        replace(request, body=dumped(ROWS)),
        replace(request, path="/"),
        replace(request, body=saved(PIXELS), content=NPY),
        replace(request, body=b"["),
    ):
        reused = newcomers.send(other, exactly=False)
        assert (reused.status, reused.code) == (422, "idempotency_key_reused")
        assert reused.rows == [("EMAIL", "live", "", 0, 422, "idempotency_key_reused")]


def test_a_retry_through_the_other_door_gets_the_same_bytes(
    servers: list[Server], callers: Doubles
) -> None:
    request = Request(dumped({"image": ROWS}), head=(f"Idempotency-Key: {secrets.token_hex(8)}",))
    key = callers.callers[0].key
    first, second, third = (
        server.exchange(request.to(server, key)) for server in (*servers, servers[0])
    )
    assert first.raw == second.raw == third.raw
    assert [answer.headers["Idempotent-Replayed"] for answer in (first, second, third)] == [
        None, "true", "true",
    ]  # fmt: skip


def test_a_retry_of_a_form_is_known_by_what_is_in_it(newcomers: Doubles) -> None:
    """HTTP libraries draw another boundary for it."""
    head = (f"Idempotency-Key: {secrets.token_hex(8)}",)
    content = FORM.replace("a-boundary", "another")
    first = newcomers.send(Request(form([PICTURE]), content=FORM, head=head))
    again = newcomers.send(Request(form([PICTURE], "another"), content=content, head=head))
    other = newcomers.send(Request(form([LARGE]), content=FORM, head=head))
    assert again.answer.raw == first.answer.raw
    assert again.headers["idempotent-replayed"] == "true"
    assert other.code == "idempotency_key_reused"


def test_a_picture_is_answered_alike_in_every_form_of_it(newcomers: Doubles) -> None:
    forms = [
        Request(PICTURE, content=PNG),
        Request(PICTURE, content=JPEG),
        Request(form([PICTURE]), content=FORM),
        Request(dumped({"image": TEXT})),
        Request(dumped({"images": [f"data:image/png;base64,{TEXT}"]})),
    ]
    answers = [newcomers.send(one).answer.body["predictions"] for one in forms]
    assert answers == [answers[0]] * len(forms)
    numbers = newcomers.send(Request()).answer.body["predictions"]
    assert answers[0][0]["digit"] == numbers[0]["digit"]


# Each door by itself, where not every word of the answer is ours


@pytest.mark.parametrize("path", [PREDICTIONS, "/"])
def test_a_200_is_a_committed_row_by_its_request_id(
    path: str, door: Server, server_key: str
) -> None:
    answer = door.post(path, RAW, server_key)
    assert answer.status == 200, answer.raw
    rows = door.rows(
        "SELECT status, units, release FROM predictions_call WHERE id = %s",
        answer.headers["X-Request-Id"],
    )
    assert rows == [(200, 1, "softmax-1")]


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "5\r\nContent-Length: 6"])
def test_a_length_that_is_no_number_is_refused(length: str, door: Server, server_key: str) -> None:
    answer = door.exchange(Request(b"", length=length).to(door, server_key))
    assert answer.status == 400


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n",
        b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n0",
    ],
)
def test_a_request_that_is_none_is_refused(raw: bytes, door: Server) -> None:
    assert 400 <= door.exchange(raw).status < 500


def test_64_megabytes_are_refused_with_a_problem_that_curl_can_read(
    door: Server, server_key: str, tmp_path: Path
) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(64 * 2**20)
    result = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--max-time", "20"),
            *("--header", f"X-API-Key: {server_key}", "--header", "Content-Type: application/json"),
            *("--data-binary", f"@{large}", f"{door.url}/v1/predictions"),
        ],
        capture_output=True,
        text=True,
    )
    assert '"body_too_large"' in result.stdout, result


def test_who_waits_for_100_continue_gets_it_before_the_body_is_sent(
    door: Server, server_key: str
) -> None:
    head = door.request(server_key, b"", "Expect: 100-continue", length=len(RAW))
    with door.connected() as connection:
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(RAW)
        assert answer_of(connection).status == 200


def test_an_id_that_a_client_chooses_is_not_taken_over(door: Server, server_key: str) -> None:
    chosen = str(uuid.uuid4())
    answer = door.post("/v1/predictions", RAW, server_key, **{"X-Request-Id": chosen})
    assert answer.headers["X-Request-Id"] != chosen


def test_no_key_gets_into_the_log_of_the_server(door: Server, server_key: str) -> None:
    door.post("/v1/predictions", b"", server_key)
    door.post(f"/v1/predictions?key={server_key}", b"", server_key)
    door.get(f"/v1/{server_key}", {"Referer": server_key})
    log = door.log.read_text()
    assert '"path": "/v1/predictions"' in log
    assert server_key not in log
    assert server_key[19:] not in log


def test_each_worker_restored_the_model_itself(door: Server) -> None:
    """The master, which forks, has no TensorFlow in its memory."""
    assert door.process
    workers = door.worker_pids()
    assert len(workers) == 2
    mapped = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in [door.process.pid, *workers]}
    assert "tensorflow" not in mapped.pop(door.process.pid)
    assert all("tensorflow" in maps for maps in mapped.values())
