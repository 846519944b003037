from collections.abc import Iterable, Iterator
from datetime import date, datetime
from smtplib import SMTPException
from typing import Any

import structlog
from django.core.mail import mail_admins
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.models import Customer
from billing.meter_models import Proof
from billing.proving import months, prove
from billing.stripe_gateway import StripeFault
from billing.worker_models import ProofRun

log = structlog.get_logger()


class Command(BaseCommand):
    help = (
        "Hold log, ledger, pushes, Stripe's meter and invoices against each other: for every "
        "customer and month. Exits with 1 and names what differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--customer", metavar="EMAIL")
        parser.add_argument("--period", metavar="YYYY-MM", type=month)

    def handle(self, *args: Any, customer: str | None, period: date | None, **options: Any) -> None:
        run = ProofRun(began_at=timezone.now())
        failures = list(failures_of(customers(customer), period, run))
        if customer is None and period is None:
            run.ended_at = run.told_at = timezone.now()
            run.save()
        self.stdout.write(f"{run.months} months of customers were proved.")
        if failures:
            differences = "\n".join(failures)
            tell(differences)
            raise CommandError(differences)


def tell(differences: str) -> None:
    """By mail; if that fails, whoever ran the command reads them all the same."""
    try:
        mail_admins("The books differ", differences)
    except (SMTPException, OSError) as error:
        log.error("operator_not_told", error=str(error))


def failures_of(some: Iterable[Customer], period: date | None, run: ProofRun) -> Iterator[str]:
    """What does not agree, in words; `run` counts what was looked at."""
    for customer in some:
        run.customers += 1
        try:
            for proof in prove(customer, [period] if period else months(customer)):
                run.months += 1
                run.differing += bool(proof.differences)
                yield from told(proof)
        except StripeFault as fault:
            run.unanswered += 1
            yield f"{customer}: Stripe does not say: {fault}"


def told(proof: Proof) -> list[str]:
    return [f"{proof}: {difference}" for difference in proof.differences.splitlines()]


def customers(email: str | None) -> Any:
    found = Customer.objects.select_related("user").order_by("pk")
    if email is None:
        return found.iterator()
    chosen = found.filter(user__email__iexact=email)
    if not chosen:
        raise CommandError(f"There is no customer {email}.")
    return chosen


def month(text: str) -> date:
    return datetime.strptime(text, "%Y-%m").date()
