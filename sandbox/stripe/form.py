"""Form bodies and query strings with nested brackets, as Stripe's libraries write them."""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.errors import invalid
from sandbox.stripe.store import Json

NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")


def decode(text: str) -> Json:
    """`a[b]=1&c[0]=2&d[]=3` as `{"a": {"b": "1"}, "c": ["2"], "d": ["3"]}`: all leaves are text."""
    tree: Json = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        match = NAME.fullmatch(name)
        if match is None:
            raise invalid(f"Invalid parameter name: {name}", name)
        insert(tree, [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])], value)
    return {name: with_lists(value) for name, value in tree.items()}


def insert(tree: Json, path: list[str], value: str) -> None:
    """Put a value where its path leads; an empty part takes the next free number."""
    *branches, leaf = [part or None for part in path]
    for part in branches:
        tree = tree.setdefault(part or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise invalid(f"Invalid parameter: {path[0]} is both a value and a container", path[0])
    tree[leaf or str(len(tree))] = value


def with_lists(value: Any) -> Any:
    """Containers whose keys are 0, 1, 2 and so on are lists."""
    if not isinstance(value, dict):
        return value
    numbers = [str(number) for number in range(len(value))]
    if value and set(value) == set(numbers):
        return [with_lists(value[number]) for number in numbers]
    return {key: with_lists(inner) for key, inner in value.items()}
