"""The time by which calls are decided, at a test's disposal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import ledger
from mnistapi.transactions import Reading

read = ledger.opened


@dataclass
class Clock:
    """A clock for the books, which stands still until it is set."""

    now: datetime

    def opened(
        self, pairs: Sequence[tuple[int, int]], whoever_is_there: bool = False
    ) -> Reading[ledger.Books]:
        """In place of `ledger.opened`."""
        books = yield from read(pairs, whoever_is_there)
        books.now = self.now
        return books
