"""Holds requests to Stripe and answers of the local one to what Stripe publishes.

Two sources: the OpenAPI document that the package seahaven-stripe-world carries (a file is read,
no code of it runs), and the types of parameters in Stripe's own library, which are newer. The
document closes objects at the top only; here every object with named properties is closed.
"""

import functools
import importlib
import importlib.util
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import orjson
import stripe
from stripe._object_classes import OBJECT_CLASSES
from stripe._request_options import RequestOptions
from stripe._stripe_object import StripeObject
from stripe.events._event_classes import get_v2_event_class
from typing_extensions import get_type_hints, is_typeddict

Json = dict[str, Any]

# What the library's API version takes and the document's, which is older, does not. Only the
# library's types are asked about these; a test holds that each is needed.
NEWER = {
    ("POST", "/v1/checkout/sessions", "allowed_payment_method_types"),
    ("POST", "/v1/webhook_endpoints", "api_version"),
}


class SchemaMissing(Exception):
    """The package that carries the document is not installed."""


def installed() -> Path:
    """The document inside the package, found without running any of the package."""
    found = importlib.util.find_spec("seahaven_stripe_world")
    for folder in (found and found.submodule_search_locations) or ():
        if (file := Path(folder, "spec", "spec3.json")).is_file():
            return file
    raise SchemaMissing(
        "Stripe's schema is not installed: run "
        "`pip install --no-deps --ignore-requires-python -r requirements-schema.txt`"
    )


@functools.cache
def document() -> Json:
    loaded: Json = orjson.loads(installed().read_bytes())
    return loaded


# Requests and answers


def request_faults(method: str, path: str, params: Json) -> list[str]:
    """What is wrong with a request whose parameters came as a form or a query."""
    faults = list(typed_faults(method, path, params))
    if path.startswith("/v1/"):
        template = template_of(path)
        faults += [
            fault
            for name, fault in documented_faults(method, template, params)
            if not any(same(method, template, name, newer) for newer in NEWER)
        ]
    return faults


def same(method: str, template: str, name: str, newer: tuple[str, str, str]) -> bool:
    return (method, plain(template), name) == newer


def documented_faults(method: str, template: str, params: Json) -> Iterator[tuple[str, str]]:
    """Each fault of a request by the document, with the parameter that has it."""
    properties, required = parameters_of(method, template)
    for name in required - set(params):
        yield name, f"{name}: missing"
    for name, value in params.items():
        if name not in properties:
            yield name, f"{name}: unknown"
        else:
            for fault in faults_of(properties[name], value, name, form=True):
                yield name, fault


def parameters_of(method: str, template: str) -> tuple[Json, set[str]]:
    """The schema of each parameter of an operation, and the names of those it must have."""
    operation = document()["paths"][template][method.lower()]
    if method == "POST":
        content = operation["requestBody"]["content"]
        schema = next(iter(content.values()))["schema"]
        return schema.get("properties", {}), set(schema.get("required", []))
    named = [p for p in operation.get("parameters", []) if p["in"] == "query"]
    properties = {p["name"]: p["schema"] for p in named}
    if method == "DELETE":
        properties |= body_of_delete(operation)
    return properties, {p["name"] for p in named if p.get("required")}


def body_of_delete(operation: Json) -> Json:
    """The document gives a DELETE a body; Stripe's libraries send it as a query."""
    content = operation.get("requestBody", {}).get("content", {})
    return {k: v for c in content.values() for k, v in c["schema"].get("properties", {}).items()}


def answer_faults(method: str, path: str, status: int, body: Any) -> list[str]:
    """What is wrong with an answer, whatever its status."""
    if status == 501:
        return []  # which the local Stripe alone gives
    if path.startswith("/v2/"):
        return list(version_2_faults(body)) if status == 200 and method != "DELETE" else []
    responses = document()["paths"][template_of(path)][method.lower()]["responses"]
    response = responses.get(str(status), responses["default"])
    schema = next(iter(response["content"].values()))["schema"]
    return list(faults_of(schema, body, "answer"))


def event_faults(event: Json) -> list[str]:
    """What is wrong with an event, and with the object inside."""
    if event["object"] == "v2.core.event":
        return list(version_2_faults({**event, "data": None}))
    inner = event["data"]["object"]
    return [
        *faults_of({"$ref": "#/components/schemas/event"}, event, "event"),
        *faults_of({"$ref": f"#/components/schemas/{inner['object']}"}, inner, event["type"]),
    ]


def plain(template: str) -> str:
    return re.sub(r"{[^}]*}", "{}", template)


@functools.cache
def template_of(path: str) -> str:
    """The path of the document that this one is of; of several the most literal."""
    fitting = [
        t for t in document()["paths"] if re.fullmatch(plain(t).replace("{}", "[^/]+"), path)
    ]
    if not fitting:
        raise AssertionError(f"Stripe has no {path}")
    return str(min(fitting, key=lambda template: template.count("{")))


# The document's schemas


def faults_of(schema: Json, value: Any, where: str, form: bool = False) -> Iterator[str]:
    """Walk a value along its schema; in a form every leaf is text."""
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if value is None:
        if not schema.get("nullable"):
            yield f"{where}: null"
    elif "anyOf" in schema:
        yield from least_faults(schema["anyOf"], value, where, form)
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not one of {schema['enum'][:20]}"
    elif "type" in schema:
        yield from KINDS[schema["type"]](schema, value, where, form)


def least_faults(schemas: list[Json], value: Any, where: str, form: bool) -> list[str]:
    """The faults by the alternative that fits best: none if any fits."""
    return min((list(faults_of(schema, value, where, form)) for schema in schemas), key=len)


def object_faults(schema: Json, value: Any, where: str, form: bool) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: not an object: {value!r}"
        return
    properties = schema.get("properties", {})
    more = schema.get("additionalProperties", False)
    for name in set(schema.get("required", [])) - set(value):
        yield f"{where}.{name}: missing"
    for name, inner in value.items():
        if name in properties:
            yield from faults_of(properties[name], inner, f"{where}.{name}", form)
        elif not more:
            yield f"{where}.{name}: unknown"
        elif more is not True:
            yield from faults_of(more, inner, f"{where}.{name}", form)


def array_faults(schema: Json, value: Any, where: str, form: bool) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{where}: not a list: {value!r}"
        return
    for number, inner in enumerate(value):
        yield from faults_of(schema["items"], inner, f"{where}[{number}]", form)


def string_faults(schema: Json, value: Any, where: str, form: bool) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where}: not a string: {value!r}"
    elif len(value) > schema.get("maxLength", len(value)):
        yield f"{where}: longer than {schema['maxLength']}"


def number_faults(schema: Json, value: Any, where: str, form: bool) -> Iterator[str]:
    whole = schema["type"] == "integer"
    if form:
        pattern = r"-?\d+" if whole else r"-?\d+(\.\d+)?"
        fits = isinstance(value, str) and bool(re.fullmatch(pattern, value))
    else:
        fits = type(value) is int or (type(value) is float and not whole)
    if not fits:
        yield f"{where}: not a number: {value!r}"


def boolean_faults(schema: Json, value: Any, where: str, form: bool) -> Iterator[str]:
    if value not in (("true", "false") if form else (True, False)):
        yield f"{where}: not a boolean: {value!r}"


KINDS = {
    "object": object_faults,
    "array": array_faults,
    "string": string_faults,
    "integer": number_faults,
    "number": number_faults,
    "boolean": boolean_faults,
}


# The library's types of parameters


def typed_faults(method: str, path: str, params: Json) -> Iterator[str]:
    """What is wrong with a request by the library's types.

    They leave out `page`, which the addresses of version 2 lead on with.
    """
    if path.startswith("/v2/"):
        params = {name: value for name, value in params.items() if name != "page"}
    return typed_dict_faults(parameter_type(method, path), params, "")


def parameter_type(method: str, path: str) -> Any:
    """The TypedDict of the method of the library that makes such a request."""
    fitting = [
        (template.count("{"), module, name)
        for (verb, template), (module, name) in parameter_types().items()
        if verb == method and re.fullmatch(template.replace("{}", "[^/]+"), path)
    ]
    if not fitting:
        raise AssertionError(f"Stripe's library makes no {method} {path}")
    _, module, name = min(fitting)
    return getattr(importlib.import_module(module), name)


@functools.cache
def parameter_types() -> dict[tuple[str, str], tuple[str, str]]:
    """(method, path) -> (module, class), read off the library's sources."""
    types = {}
    for file in Path(stripe.__file__).parent.rglob("*_service.py"):
        source = file.read_text()
        imports = re.findall(r"from (stripe\.params[\w.]*) import \(?\s*(\w+)", source)
        modules = {name: module for module, name in imports}
        for method in re.split(r"\n    (?:async )?def ", source):
            call = re.search(r'_request\(\s*"(\w+)",\s*"(/v\d/[^"]*)"', method)
            given = re.search(r'params: (?:Optional\[)?"?(\w+)"?', method)
            if call and given and given[1] in modules:
                types[call[1].upper(), plain(call[2])] = (modules[given[1]], given[1])
    return types


def typed_dict_faults(kind: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: not an object: {value!r}"
        return
    hints = hints_of(kind)
    for name in (kind.__required_keys__ & set(hints)) - set(value):
        yield f"{where}.{name}: missing in {kind.__name__}"
    for name, inner in value.items():
        if name not in hints:
            yield f"{where}.{name}: unknown to {kind.__name__}"
        else:
            yield from hinted_faults(hints[name], inner, f"{where}.{name}")


@functools.cache
def hints_of(kind: Any) -> Json:
    """The types of the parameters, without the options of a call that the library adds to them."""
    hints = get_type_hints(kind, localns={"StripeContext": object, "Mapping": Mapping})
    options = set(RequestOptions.__annotations__)
    return {name: hint for name, hint in hints.items() if name not in options}


def hinted_faults(hint: Any, value: Any, where: str) -> Iterator[str]:
    """Walk a value along a type of the library; leaves may be text, as in a form."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        yield from min((list(hinted_faults(h, value, where)) for h in arguments), key=len)
    elif is_typeddict(hint):
        yield from typed_dict_faults(hint, value, where)
    elif origin is list and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from hinted_faults(arguments[0], inner, f"{where}[{number}]")
    elif not fits(hint, origin, arguments, value):
        yield f"{where}: {value!r} is not {hint}"


def fits(hint: Any, origin: Any, arguments: tuple[Any, ...], value: Any) -> bool:
    if hint is Any:
        return True
    if origin is Literal:
        return value in arguments
    if hint is bool:
        return value in ("true", "false", True, False)
    if hint in (int, float, Decimal):
        return bool(re.fullmatch(r"-?\d+" if hint is int else r"-?\d+(\.\d+)?", str(value)))
    if hint is str:
        return isinstance(value, str)
    # A mapping of texts, which the library writes in two ways.
    mapping = origin is dict or (isinstance(origin, type) and issubclass(origin, StripeObject))
    return mapping and isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


# The library's classes of objects: all that there is on version 2 of the API


def version_2_faults(body: Json) -> Iterator[str]:
    if "next_page_url" in body:
        yield from keys_faults({"data", "next_page_url", "previous_page_url"}, set(), body, "list")
        for inner in body["data"]:
            yield from version_2_faults(inner)
    elif body["object"] == "v2.core.event":
        kind = get_v2_event_class(body["type"])
        needed = needed_by(kind) | {"created", "id", "livemode", "object", "type"}
        allowed = set(annotations_of(kind)) | set(annotations_of(stripe.v2.core.Event))
        yield from keys_faults(allowed, needed, body, body["type"])
    elif body["object"] in V2_CLASSES:
        yield from class_faults(V2_CLASSES[body["object"]], body, body["object"])
    else:
        module, name = OBJECT_CLASSES[body["object"]]
        yield from class_faults(getattr(importlib.import_module(module), name), body, name)


V2_CLASSES = {"v2.core.event_destination": stripe.v2.core.EventDestination}


def annotations_of(kind: type) -> Json:
    names = {k: v for k, v in kind.__annotations__.items() if not k.startswith("_")}
    return {
        name: hint for name, hint in names.items() if name not in ("OBJECT_NAME", "LOOKUP_TYPE")
    }


def needed_by(kind: type) -> set[str]:
    """Fields that the library does not call optional."""
    hints = annotations_of(kind).items()
    return {name for name, hint in hints if type(None) not in get_args(hint)}


def keys_faults(allowed: set[str], needed: set[str], value: Json, where: str) -> Iterator[str]:
    yield from (f"{where}.{name}: missing" for name in needed - set(value))
    yield from (f"{where}.{name}: unknown" for name in set(value) - allowed)


def class_faults(kind: type, value: Json, where: str) -> Iterator[str]:
    yield from keys_faults(set(annotations_of(kind)), needed_by(kind), value, where)
    for name, inner in getattr(kind, "_inner_class_types", {}).items():
        if isinstance(value.get(name), dict):
            yield from class_faults(inner, value[name], f"{where}.{name}")
