"""Enters usage in the books as calls do, at a time of one's choice."""

from collections.abc import Sequence
from datetime import datetime

from billing import ledger
from billing.decision import Charge, Verdict
from billing.models import Account
from billing.plans import PLANS, SANDBOX
from mnistapi.transactions import Transaction
from tests.conftest import Holder

RELEASE = "softmax-1"
MOST = min(plan.max_images for plan in (*PLANS.values(), SANDBOX))


def asked(of: Holder, units: int = 1) -> Charge:
    """What a call with this key asks of the books; one without units was refused before."""
    release = RELEASE if units else ""
    return Charge(of.customer.pk, of.row.pk, of.row.livemode, release, units)


def enter(charges: Sequence[Charge], at: datetime | None = None) -> list[Verdict]:
    """Decide and count in one transaction, `at` that time instead of the database's."""
    pairs = [(charge.customer_id, charge.key_id) for charge in charges]
    with Transaction() as transaction:
        books = opened(transaction, pairs)
        books.now = at or books.now
        verdicts = [books.charge(charge) for charge in charges]
        transaction.commit(ledger.counting(books, charges, verdicts))
    return verdicts


def opened(transaction: Transaction, pairs: Sequence[tuple[int, int]]) -> ledger.Books:
    try:
        return transaction.read(ledger.opened(pairs))
    except ledger.NotOpen as missing:
        transaction.rollback()
        Account.objects.open(missing.customer_ids)
    return transaction.read(ledger.opened(pairs))


def used(of: Holder, units: int, at: datetime | None = None) -> Verdict:
    """The customer has used so many units more, in as many calls as it takes."""
    whole, rest = divmod(units, MOST)
    sizes = [MOST] * whole + ([rest] if rest or not whole else [])
    verdicts = enter([asked(of, size) for size in sizes], at)
    assert [verdict.units for verdict in verdicts] == sizes, verdicts[-1].refusal
    return verdicts[-1]
