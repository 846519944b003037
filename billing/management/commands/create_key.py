from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.keys import Kind
from accounts.models import APIKey, Customer
from billing.models import Account
from billing.plans import PLANS


class Command(BaseCommand):
    help = "Issue a test key (or a live one) to a customer, made if needed; print only the key."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--live", action="store_true", help="a live key, which is billed")
        parser.add_argument("--plan", choices=PLANS, help="put the customer on this plan")

    def handle(self, *args: Any, email: str, live: bool, plan: str | None, **options: Any) -> None:
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is not an e-mail address.") from error
        _, key = issue(email, Kind.LIVE if live else Kind.TEST, plan)
        self.stdout.write(key)


@transaction.atomic  # a customer is not left behind without the key he was made for
def issue(email: str, kind: Kind, plan: str | None) -> tuple[APIKey, str]:
    customer = Customer.objects.with_email(email)
    if plan:
        Account.objects.of(customer).change(plan=plan)
    issued: tuple[APIKey, str] = APIKey.objects.issue(customer, kind, "create_key")
    return issued
