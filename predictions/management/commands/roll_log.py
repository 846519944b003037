from datetime import UTC, date, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection, transaction

from predictions import idempotency, partitions

MONTHS_AHEAD = 12


class Command(BaseCommand):
    help = (
        "Daily: make the coming months of the log, drop those past CALL_RETENTION_MONTHS, and "
        "forget the stored answers that have expired."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        today = datetime.now(UTC).date()
        keep_from = partitions.month(today, -settings.CALL_RETENTION_MONTHS)
        try:
            self.create(partitions.month(today))
            idempotency.forget_expired()
            kept = [self.drop(first) for first in partitions.existing() if first < keep_from]
        except OperationalError as error:
            raise CommandError(f"The log is in use; run this again later. {error}") from error
        if any(kept):
            raise CommandError("Months past the retention were kept: their totals are not safe.")

    def create(self, first: date) -> None:
        with transaction.atomic():
            self.wait_no_longer_than_calls_can()
            with connection.cursor() as cursor:
                partitions.create(first, MONTHS_AHEAD + 1, cursor.execute)

    def drop(self, first: date) -> bool:
        """Drop the month, say what happened, and whether it had to be kept."""
        try:
            with transaction.atomic():
                self.wait_no_longer_than_calls_can()
                partitions.drop(first)
        except partitions.UncountedCalls as error:
            self.stderr.write(str(error))
            return True
        self.stdout.write(f"Dropped the log of {first:%Y-%m}.")
        return False

    def wait_no_longer_than_calls_can(self) -> None:
        """Whoever waits for the whole log, behind a long reader, holds up every call behind him."""
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
