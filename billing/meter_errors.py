"""What Stripe took and, as it says later, could not count: noted, shown, and pushed again."""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog
from django.db import transaction
from django.db.models.functions import Now

from billing import stripe_gateway
from billing.meter_models import MeterError, MeterPush
from billing.stripe_gateway import Event, MeterErrors

RETRY = timedelta(hours=1)
# A push is noted after Stripe has taken it, and clocks differ a little.
NOTED_LATER = timedelta(minutes=5)

log = structlog.get_logger()


def note_error(event: Event) -> Callable[[], None]:
    """Read the report of a thin event; the effect, for a transaction, notes it.

    For the types of `stripe_gateway.METER_ERRORS`; called twice or late it is the same. Raises
    StripeFault.
    """
    return partial(note, stripe_gateway.retrieve_meter_errors(event.id))


def poll(stopped: threading.Event) -> None:
    """Note those of which no webhook told. Raises StripeFault."""
    for errors in stripe_gateway.list_meter_errors():
        note(errors)


@transaction.atomic  # noted if and only if its hours are due again
def note(errors: MeterErrors) -> None:
    """Have every hour that was pushed meanwhile pushed again: a report names just some samples.

    That is harmless for those that were counted. What is refused again is reported again.
    """
    noted, is_new = MeterError.objects.get_or_create(
        event_id=errors.event_id,
        defaults={
            "type": errors.type,
            "errors": errors.count,
            "summary": errors.summary[:500],
            "since": errors.since,
            "until": errors.until,
            "hours": 0,
        },
    )
    if not is_new:
        return
    pushed = MeterPush.objects.filter(
        pushed_at__gte=errors.since - NOTED_LATER, pushed_at__lte=errors.until + NOTED_LATER
    )
    noted.hours = pushed.update(units=None, due_at=Now() + RETRY)
    noted.save(update_fields=["hours"])
    log.error("meter_errors", errors=errors.count, hours=noted.hours, summary=errors.summary)
