"""Reading the library's objects, which are neither dicts nor whole."""

from datetime import UTC, datetime
from typing import Any


def text(value: Any) -> str:
    return str(value or "")


def id_of(value: Any) -> str:
    """Of something that is there whole, as an id or not at all."""
    return text(value if value is None or isinstance(value, str) else value["id"])


def metadata_of(thing: Any) -> dict[str, str]:
    return dict(thing.metadata.to_dict()) if thing.metadata else {}


def moment(at: str | datetime) -> datetime:
    """In UTC; version 2 of the API writes times as text."""
    return (at if isinstance(at, datetime) else datetime.fromisoformat(at)).astimezone(UTC)
