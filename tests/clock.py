"""The time by which calls are decided, at a test's disposal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import ledger
from mnistapi.transactions import Transaction

read = ledger.opened


@dataclass
class Clock:
    """A clock for the books, which stands still until it is set."""

    now: datetime

    def opened(self, transaction: Transaction, pairs: Sequence[tuple[int, int]]) -> ledger.Books:
        """In place of `ledger.opened`."""
        books = read(transaction, pairs)
        books.now = self.now
        return books
