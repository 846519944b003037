"""Whether a month agrees: log, hours, pushes, Stripe's meter and the invoice. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from billing import rating
from billing.plans import Tier

Hours = Mapping[datetime, int]

NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Billed:
    """An invoice that is final: the units of its lines, and its total before any balance."""

    id: str
    units: int
    cents: int


@dataclass(frozen=True)
class Evidence:
    """Units by hour, as each of the books has them; None for a book that has no such month.

    `hours` are the ledger's. What begins at `settled_before` or later may still be on its way to
    Stripe, and is not above the ledger all the same. `shown_cents` is the invoice's total as the
    customer is shown it on our pages.
    """

    period: date
    tiers: Sequence[Tier]
    settled_before: datetime
    hours: Hours
    log: Hours | None = None
    pushed: Hours | None = None
    metered: Hours | None = None
    invoice: Billed | None = None
    shown_cents: int | None = None
    missing: str = ""

    @property
    def units(self) -> int:
        return sum(self.hours.values())

    @property
    def rated_cents(self) -> int:
        return rating.cents(rating.price(self.tiers, self.units))

    def differences(self) -> list[str]:
        """What does not agree, in words; nothing if all of it does."""
        return [*self.of_hours(), *self.of_the_invoice()]

    def of_hours(self) -> Iterator[str]:
        if self.log is not None:
            yield from compared("log", self.log, self.hours, unlike(self.log, self.hours))
        for name, book in (("pushes", self.pushed), ("Stripe's meter", self.metered)):
            if book is not None:
                wrong = unlike(book, self.hours, self.settled_before)
                yield from compared(name, book, self.hours, wrong)

    def of_the_invoice(self) -> Iterator[str]:
        if self.missing:
            yield self.missing
        if not self.invoice:
            return
        if self.invoice.units != self.units:
            yield f"invoice {self.invoice.id}: {self.invoice.units} units, ledger {self.units}"
        if self.invoice.cents != self.rated_cents:
            billed, rated = (dollars(cents) for cents in (self.invoice.cents, self.rated_cents))
            yield f"invoice {self.invoice.id}: {billed}, by our prices {rated}"
        if self.shown_cents is not None and self.shown_cents != self.invoice.cents:
            billed, shown = (dollars(cents) for cents in (self.invoice.cents, self.shown_cents))
            yield f"invoice {self.invoice.id}: {billed}, on our pages {shown}"


def unlike(book: Hours, ledger: Hours, settled_before: datetime | None = None) -> list[datetime]:
    """The hours in which a book is not as the ledger; unsettled ones only if it is above it."""
    return [
        hour
        for hour in sorted({*book, *ledger})
        if book.get(hour, 0) > ledger.get(hour, 0)
        or (book.get(hour, 0) != ledger.get(hour, 0) and is_before(hour, settled_before))
    ]


def is_before(hour: datetime, end: datetime | None) -> bool:
    return end is None or hour < end


def compared(name: str, book: Hours, ledger: Hours, wrong: list[datetime]) -> Iterator[str]:
    """One sentence that names the first of the wrong hours."""
    if not wrong:
        return
    hours = [
        f"{hour:%Y-%m-%d %H}:00 {book.get(hour, 0)} / {ledger.get(hour, 0)}"
        for hour in wrong[:NAMED_AT_MOST]
    ]
    more = f" and {len(wrong) - NAMED_AT_MOST} more" if len(wrong) > NAMED_AT_MOST else ""
    totals = f"{sum(book.values())} / {sum(ledger.values())} units"
    yield f"{name} / ledger: {totals}; {', '.join(hours)}{more}"


def dollars(cents: int) -> str:
    return rating.shown(cents * rating.MICROS_PER_CENT)
