"""What the local Stripe remembers: JSON objects by kind and id, in memory or in a file."""

import json
import secrets
import sqlite3
import string
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ALPHABET = string.ascii_letters + string.digits
SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT, id TEXT, position INTEGER, body TEXT, PRIMARY KEY (kind, id)
)
"""


def new_id(prefix: str, length: int = 24) -> str:
    return f"{prefix}_{''.join(secrets.choice(ALPHABET) for _ in range(length))}"


class Store:
    """Objects are found by their `object` (the kind) and `id`, and listed as they were made.

    An object that was changed must be `put` again, or its change does not outlive the process.
    Keys that begin with an underscore are the local Stripe's own and never leave it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.kinds: dict[str, dict[str, Json]] = {}
        self.positions: dict[tuple[str, str], int] = {}
        self.next_position = 0
        self.unsaved: set[tuple[str, str]] = set()
        self.database = sqlite3.connect(file, check_same_thread=False) if file else None
        if self.database:
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = NORMAL")
            self.database.execute(SCHEMA)
            self._load(self.database)

    def _load(self, database: sqlite3.Connection) -> None:
        query = "SELECT kind, id, position, body FROM objects ORDER BY position"
        for kind, id, position, body in database.execute(query):
            self.kinds.setdefault(kind, {})[id] = json.loads(body)
            self.positions[kind, id] = position
            self.next_position = position + 1

    def put(self, row: Json) -> Json:
        key = row["object"], row["id"]
        self.kinds.setdefault(row["object"], {})[row["id"]] = row
        if key not in self.positions:
            self.positions[key] = self.next_position
            self.next_position += 1
        self.unsaved.add(key)
        return row

    def get(self, kind: str, id: str) -> Json | None:
        return self.kinds.get(kind, {}).get(id)

    def all(self, kind: str) -> list[Json]:
        """All of a kind, the oldest first."""
        return list(self.kinds.get(kind, {}).values())

    def oldest(self, kind: str) -> Json | None:
        return next(iter(self.kinds.get(kind, {}).values()), None)

    def delete(self, kind: str, id: str) -> None:
        del self.kinds[kind][id], self.positions[kind, id]
        self.unsaved.add((kind, id))

    def commit(self) -> None:
        """Write what was changed since the last time, all of it or nothing."""
        if self.database:
            with self.database:
                for kind, id in self.unsaved:
                    self._write(self.database, kind, id)
        self.unsaved.clear()

    def close(self) -> None:
        if self.database:
            self.database.close()

    def _write(self, database: sqlite3.Connection, kind: str, id: str) -> None:
        row = self.get(kind, id)
        if row is None:
            database.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, id))
            return
        values = kind, id, self.positions[kind, id], json.dumps(row)
        database.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", values)
