import base64
from datetime import timedelta
from functools import cache
from io import BytesIO
from typing import Any

import jsonschema
import numpy as np
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from accounts.keys import Kind
from billing.models import Account
from billing.plans import SANDBOX
from predictions.forms import FORMS
from tests.conftest import Holder
from tests.pictures import MULTIPART, form, jpeg, png
from tests.pictures import THREE as PIXELS
from tests.test_predictions import BLANK, THREE

PICTURE = base64.b64encode(png(PIXELS)).decode()

OF_CALLS = {"RateLimit", "RateLimit-Policy", "Retry-After", "Idempotent-Replayed", "X-Request-Id"}


THIS_MONTH = timezone.now().date().replace(day=1)


@cache
def document() -> Any:
    return Client().get("/openapi.json").json()


def schema_of(answer: Any, path: str = "/v1/predictions") -> Any:
    content = document()["paths"][path]["post"]["responses"][str(answer.status_code)]["content"]
    return content[answer["Content-Type"]]["schema"]


def headers_of(answer: Any, path: str = "/v1/predictions") -> Any:
    responses = document()["paths"][path]["post"]["responses"]
    return responses[str(answer.status_code)]["headers"]


def test_the_document_is_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1")
    assert document()["servers"] == [{"url": settings.PUBLIC_URL}]
    for path in document()["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                described = [*response["content"].values(), *response.get("headers", {}).values()]
                for one in described:
                    jsonschema.Draft202012Validator.check_schema(one["schema"])


def test_it_holds_the_calls_of_the_api_and_nothing_else() -> None:
    assert set(document()["paths"]) == {
        "/",
        "/v1/predictions",
        "/v1/account",
        "/v1/usage",
        "/v1/models",
    }
    assert {method for path in document()["paths"].values() for method in path} == {"post", "get"}


def test_a_call_needs_a_key_in_one_of_two_headers() -> None:
    schemes = document()["components"]["securitySchemes"]
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer"}
    assert schemes["header"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert document()["paths"]["/v1/predictions"]["post"]["security"] == [
        {"bearer": []},
        {"header": []},
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [(THREE, "/v1/predictions"), ([THREE, BLANK], "/v1/predictions"), (THREE, "/")],
)
def test_answers_are_as_documented(body: object, path: str, call: Any) -> None:
    answer = call(body, path=path)
    assert answer.status_code == 200
    jsonschema.validate(answer.json(), schema_of(answer, path))


TOO_LARGE = b" " * (FORMS["application/json"].max_body + 1)
FORM = {"content_type": "application/x-www-form-urlencoded"}
# The status of an answer, what is asked with what else, and how the account stands.
ANSWERS: dict[str, tuple[int, object, dict[str, object], dict[str, object]]] = {
    "an answer": (200, THREE, {}, {}),
    "no JSON": (400, "nonsense", {}, {}),
    "no key": (401, THREE, {"key": ""}, {}),
    "suspended": (403, THREE, {}, {"status": Account.Status.SUSPENDED}),
    "too large": (413, TOO_LARGE, {}, {}),
    "a form": (415, "x=1", FORM, {}),
    "no image": (422, [1], {}, {}),
    "an empty key": (422, THREE, {"headers": {"Idempotency-Key": ""}}, {}),
    "no call left": (429, THREE, {}, {"test_tat": timezone.now() + timedelta(hours=1)}),
    "no unit left": (429, THREE, {}, {"test_units": SANDBOX.allowance}),
}


@pytest.mark.parametrize("path", ["/v1/predictions", "/"])
@pytest.mark.parametrize("name", ANSWERS)
def test_each_kind_of_answer_is_as_documented(
    name: str, path: str, call: Any, owner: Holder
) -> None:
    status, body, extra, account = ANSWERS[name]
    Account.objects.create(customer=owner.customer, period=THIS_MONTH, **account)
    answer = call(body, path=path, **extra)
    assert answer.status_code == status, answer.content
    jsonschema.validate(answer.json(), schema_of(answer, path))
    documented = headers_of(answer, path)
    assert set(documented) & set(answer.headers) == set(documented) - {"Idempotent-Replayed"}
    assert OF_CALLS & set(answer.headers) <= set(documented)
    for header in set(documented) & set(answer.headers):
        value, schema = answer[header], documented[header]["schema"]
        jsonschema.validate(int(value) if schema.get("type") == "integer" else value, schema)


def test_a_refusal_for_want_of_money_is_as_documented(call: Any, holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    Account.objects.create(customer=live.customer, period=THIS_MONTH, live_units=1_000)
    for plan, code in (("free", "payment_required"), ("payg", "spend_limit_reached")):
        Account.objects.update(plan=plan, spend_limit_cents=0)
        answer = call(THREE, key=live.key)
        assert (answer.status_code, answer.json()["code"]) == (402, code)
        jsonschema.validate(answer.json(), schema_of(answer))


def test_an_answer_to_a_billed_call_is_as_documented(call: Any, holder: Any) -> None:
    live = holder("owner@example.com", Kind.LIVE)
    Account.objects.create(customer=live.customer, plan="payg", period=THIS_MONTH, live_units=1_000)
    answer = call([THREE, BLANK], key=live.key)
    jsonschema.validate(answer.json(), schema_of(answer))
    usage = answer.json()["usage"]
    assert (usage["cost"], usage["spend_limit_remaining"]) == ("0.001", "49.999")


def test_an_idempotency_key_is_as_documented(call: Any) -> None:
    (parameter,) = document()["paths"]["/v1/predictions"]["post"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("Idempotency-Key", "header")
    for key in ("a", "a b", "~" * 255, "", " ", "é", "~" * 256):
        is_documented = jsonschema.Draft202012Validator(parameter["schema"]).is_valid(key)
        answer = call(BLANK, headers={"Idempotency-Key": key.strip()})
        assert answer.status_code == (200 if is_documented else 422), key


def test_a_retry_is_answered_as_documented(call: Any) -> None:
    for replayed in (False, True):
        answer = call(THREE, headers={"Idempotency-Key": "a"})
        assert ("Idempotent-Replayed" in answer.headers) == replayed
    described = headers_of(answer)["Idempotent-Replayed"]
    jsonschema.validate(answer["Idempotent-Replayed"], described["schema"])
    jsonschema.validate(answer.json(), schema_of(answer))


@pytest.mark.parametrize(
    "body",
    [
        THREE,
        [THREE[row * 28 : row * 28 + 28] for row in range(28)],
        [THREE] * 3,
        {"image": THREE, "ink": "light"},
        {"images": [THREE, BLANK]},
        {"image": PICTURE, "release": "softmax-1"},
        {"images": [PICTURE, PICTURE], "ink": "light"},
    ],
)
def test_every_documented_body_is_accepted(body: object, call: Any) -> None:
    operation = document()["paths"]["/v1/predictions"]["post"]
    jsonschema.validate(body, operation["requestBody"]["content"]["application/json"]["schema"])
    assert call(body).status_code == 200


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (png(PIXELS), "image/png"),
        (jpeg(PIXELS), "image/jpeg"),
        (form([png(PIXELS)], ink="light", release="softmax-1"), MULTIPART),
    ],
)
def test_every_documented_file_is_accepted(body: bytes, content_type: str, call: Any) -> None:
    operation = document()["paths"]["/v1/predictions"]["post"]
    assert content_type.partition(";")[0] in operation["requestBody"]["content"]
    assert call(body, content_type=content_type).status_code == 200


def test_the_documented_array_of_numpy_is_accepted(call: Any) -> None:
    operation = document()["paths"]["/v1/predictions"]["post"]
    assert set(operation["requestBody"]["content"]) == set(FORMS)
    file = BytesIO()
    np.save(file, np.zeros((2, 28, 28), np.uint8))
    answer = call(file.getvalue(), content_type="application/x-npy")
    assert answer.json()["usage"]["units"] == 2


def test_the_documented_example_works(call: Any) -> None:
    content = document()["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]
    (example,) = content["application/json"]["examples"].values()
    assert call(example["value"]).status_code == 200
