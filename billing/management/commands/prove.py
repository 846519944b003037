from datetime import date, datetime
from typing import Any

from django.core.mail import mail_admins
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Customer
from billing.meter_models import Proof
from billing.proving import prove
from billing.stripe_gateway import StripeFault


class Command(BaseCommand):
    help = (
        "Hold log, ledger, pushes, Stripe's meter and invoices against each other: for every "
        "customer and month. Exits with 1 and names what differs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--customer", metavar="EMAIL")
        parser.add_argument("--period", metavar="YYYY-MM", type=month)

    def handle(self, *args: Any, customer: str | None, period: date | None, **options: Any) -> None:
        proved, failures = 0, []
        for one in customers(customer):
            try:
                for proof in prove(one, period):
                    proved += 1
                    failures += self.told(proof)
            except StripeFault as fault:
                failures += [f"{one}: Stripe does not say: {fault}"]
        self.stdout.write(f"{proved} months of customers were proved.")
        if failures:
            mail_admins("The books differ", "\n".join(failures))
            raise CommandError("\n".join(failures))

    def told(self, proof: Proof) -> list[str]:
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
