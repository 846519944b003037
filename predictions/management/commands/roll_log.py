from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from predictions import partitions

MONTHS_AHEAD = 12


class Command(BaseCommand):
    help = "Daily: make the coming months of the log, drop those past CALL_RETENTION_MONTHS."

    def handle(self, *args: Any, **options: Any) -> None:
        today = datetime.now(UTC).date()
        with connection.cursor() as cursor:
            partitions.create(partitions.month(today), MONTHS_AHEAD + 1, cursor.execute)
        keep_from = partitions.month(today, -settings.CALL_RETENTION_MONTHS)
        kept = [self.drop(first) for first in partitions.existing() if first < keep_from]
        if any(kept):
            raise CommandError("Months past the retention were kept: their totals are not safe.")

    def drop(self, first: Any) -> bool:
        """Drop the month, say what happened, and whether it had to be kept."""
        try:
            with transaction.atomic():  # nothing is added between the check and the drop
                partitions.drop(first)
        except partitions.UncountedCalls as error:
            self.stderr.write(str(error))
            return True
        self.stdout.write(f"Dropped the log of {first:%Y-%m}.")
        return False
