from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import APIKey


class Command(BaseCommand):
    help = "Revoke the key that begins with PREFIX (as the keys page shows it), at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix")

    def handle(self, *args: Any, prefix: str, **options: Any) -> None:
        matches = list(APIKey.objects.filter(prefix=prefix))
        if len(matches) != 1:
            raise CommandError(f"{len(matches)} keys have the prefix {prefix!r}; none was revoked.")
        if matches[0].revoked_at:
            raise CommandError(f"{matches[0]} was revoked at {matches[0].revoked_at}.")
        matches[0].revoke()
        self.stdout.write(f"Revoked {matches[0]} of {matches[0].customer}.")
