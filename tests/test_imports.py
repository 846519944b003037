"""Imports go one way: `predictions -> billing -> accounts`, `predictions -> model`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

ROOMS = ["accounts", "billing", "predictions", "model", "mnistapi", "sandbox", "tests", "bench"]

# What each room may import of the others. `mnistapi/` ties the rooms together: its shared modules
# know nobody, and these few know the rooms that they tie.
ALLOWED = {
    "model": set(),
    "accounts": {"mnistapi"},
    "billing": {"mnistapi", "accounts"},
    "predictions": {"mnistapi", "accounts", "billing", "model"},
    "sandbox": {"mnistapi", "accounts"},
    "mnistapi": set(),
}
TIES = {
    "mnistapi/urls.py": {"accounts", "billing", "predictions"},
    "mnistapi/settings.py": {"accounts", "sandbox"},
    "mnistapi/releases.py": {"model", "predictions"},
    "mnistapi/asgi.py": {"predictions"},
    "mnistapi/health.py": {"model"},
    "mnistapi/metrics.py": {"billing"},
}
ONLY_IN = {
    "tensorflow": "model/tf.py",
    "ai_edge_litert": "model/litert.py",
    "stripe": "billing/stripe_gateway/",
}


def modules(room: str) -> list[Path]:
    return sorted((settings.BASE_DIR / room).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """The first name of everything that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports relatively"
            yield str(node.module).partition(".")[0]


def name(file: Path) -> str:
    return str(file.relative_to(settings.BASE_DIR))


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_from_the_rooms_below_it(room: str) -> None:
    assert modules(room)
    for file in modules(room):
        allowed = ALLOWED[room] | TIES.get(name(file), set()) | {room}
        assert set(imported(file)) & set(ROOMS) <= allowed, name(file)


def test_the_model_knows_no_django() -> None:
    for file in modules("model"):
        assert not {"django", "rest_framework"} & set(imported(file)), name(file)


@pytest.mark.parametrize("library", ONLY_IN)
def test_some_libraries_are_imported_in_one_place(library: str) -> None:
    files = [file for room in ALLOWED for file in modules(room)]
    users = [name(file) for file in files if library in set(imported(file))]
    assert users
    assert [user for user in users if not user.startswith(ONLY_IN[library])] == []
