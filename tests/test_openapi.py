from functools import cache
from typing import Any

import jsonschema
import pytest
from django.conf import settings
from django.test import Client

from tests.test_predictions import BLANK, THREE


@cache
def document() -> Any:
    return Client().get("/openapi.json").json()


def schema_of(answer: Any, path: str = "/v1/predictions") -> Any:
    content = document()["paths"][path]["post"]["responses"][str(answer.status_code)]["content"]
    return content[answer["Content-Type"]]["schema"]


def test_the_document_is_openapi_3_1() -> None:
    assert document()["openapi"].startswith("3.1")
    assert document()["servers"] == [{"url": settings.PUBLIC_URL}]
    for path in document()["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for media in response["content"].values():
                    jsonschema.Draft202012Validator.check_schema(media["schema"])


def test_it_holds_the_calls_of_the_api_and_nothing_else() -> None:
    assert set(document()["paths"]) == {"/", "/v1/predictions", "/v1/account", "/v1/usage"}
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


@pytest.mark.parametrize("body", ["nonsense", [1], {"image": BLANK, "ink": "blue"}])
def test_problems_are_as_documented(body: object, call: Any) -> None:
    answer = call(body)
    assert answer.status_code in (400, 422)
    jsonschema.validate(answer.json(), schema_of(answer))


@pytest.mark.parametrize(
    "body",
    [
        THREE,
        [THREE[row * 28 : row * 28 + 28] for row in range(28)],
        [THREE] * 3,
        {"image": THREE, "ink": "light"},
        {"images": [THREE, BLANK]},
    ],
)
def test_every_documented_body_is_accepted(body: object, call: Any) -> None:
    operation = document()["paths"]["/v1/predictions"]["post"]
    jsonschema.validate(body, operation["requestBody"]["content"]["application/json"]["schema"])
    assert call(body).status_code == 200


def test_the_documented_example_works(call: Any) -> None:
    content = document()["paths"]["/v1/predictions"]["post"]["requestBody"]["content"]
    (example,) = content["application/json"]["examples"].values()
    assert call(example["value"]).status_code == 200
