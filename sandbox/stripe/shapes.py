"""What an endpoint takes: its parameters and their types, however deep.

A shape is a function (text in, value out), a dict of shapes, or a list of one shape. A parameter
that is in no shape is a 501, never ignored: what the product relies on must be kept here, too.
"""

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox.stripe.errors import invalid, unknown
from sandbox.stripe.store import Json

Reader = Callable[[Any, str], Any]
Shape = Reader | dict[str, Any] | list[Any]


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise invalid(f"Invalid string: {name}", name)
    return value


def integer(value: Any, name: str) -> int:
    try:
        return int(text(value, name))
    except ValueError:
        raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer") from None


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false", True, False):
        raise invalid(f"Invalid boolean: {value}", name)
    return value in ("true", True)


def off(value: Any, name: str) -> bool:
    """Something of Stripe's that is not here: it may be named, to say that it is not wanted."""
    if boolean(value, name):
        raise unknown(f"{name}=true")
    return False


def decimal(value: Any, name: str) -> Decimal:
    """At most twelve places, as Stripe takes them."""
    try:
        number = Decimal(text(value, name))
    except InvalidOperation:
        raise invalid(f"Invalid decimal: {value}", name) from None
    if not number.is_finite() or int(number.as_tuple().exponent) < -12:
        raise invalid(f"Invalid decimal: {value}", name)
    return number


def choice(*allowed: str) -> Reader:
    """One of these. Others may be right for Stripe, which has more; so they are a 501."""

    def read(value: Any, name: str) -> str:
        if value not in allowed:
            raise unknown(f"{name}={value}")
        return str(value)

    return read


def either(literal: str, shape: Reader) -> Reader:
    """The literal as it is, or what the shape reads."""
    return lambda value, name: value if value == literal else shape(value, name)


def clearable(shape: Shape) -> Reader:
    """An empty string unsets it."""
    return lambda value, name: None if value == "" else read(shape, value, name)


def metadata(value: Any, name: str) -> dict[str, str]:
    """Keys and texts; an empty text unsets one key, an empty string all of them."""
    if value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise invalid(f"Invalid hash: {name}", name)
    return value


def merged(old: dict[str, str], new: dict[str, str]) -> dict[str, str]:
    """Metadata as an update leaves it: keys are added, and dropped where the new text is empty."""
    return {key: value for key, value in {**old, **new}.items() if value} if new else {}


def span(value: Any, name: str) -> Json:
    """A moment, or its bounds."""
    if isinstance(value, dict):
        bounds: Json = read({b: integer for b in ("gt", "gte", "lt", "lte")}, value, name)
        return bounds
    moment = integer(value, name)
    return {"gte": moment, "lte": moment}


def within(bounds: Json | None, moment: int) -> bool:
    tests = {
        "gt": moment.__gt__,
        "gte": moment.__ge__,
        "lt": moment.__lt__,
        "lte": moment.__le__,
    }
    return all(tests[bound](limit) for bound, limit in (bounds or {}).items())


def read(shape: Shape, value: Any, name: str) -> Any:
    """The value as the shape says; 400 if it is not of its type, 501 if it is not in the shape."""
    if isinstance(shape, dict):
        return read_dict(shape, value, name)
    if isinstance(shape, list):
        return read_list(shape[0], value, name)
    return shape(value, name)


def read_dict(shape: dict[str, Shape], value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise invalid(f"Invalid hash: {name}", name)
    path = {key: f"{name}[{key}]" if name else key for key in value}
    for key in value:
        if key not in shape:
            raise unknown(f"the parameter {path[key]}")
    return {key: read(shape[key], inner, path[key]) for key, inner in value.items()}


def read_list(shape: Shape, value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(f"Invalid array: {name}", name)
    return [read(shape, inner, f"{name}[{n}]") for n, inner in enumerate(value)]
