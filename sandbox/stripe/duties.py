"""Doing what is due: in its order, each at the moment it was due."""

from collections.abc import Callable

from sandbox.stripe import checkout, collection, cycles, deliveries, invoices, thin
from sandbox.stripe.world import World

Errand = Callable[[], None]

# A duty is done with the lock held. What it gives back is done without it: a webhook, whose
# receiver may well ask something of the API before it answers.
DUTIES: dict[str, Callable[[World, str], Errand | None]] = {
    "checkout.expire_late": checkout.expire_late,
    "collection.collect": collection.collect,
    "invoices.advance": invoices.advance,
    "cycles.renew": cycles.renew,
    "thin.send_report": thin.send_report,
    "deliveries.attempt": deliveries.attempt,
}


def run(world: World, until: int) -> None:
    """Do all that is due until then, and let the clock go on from there."""
    with world.working:
        try:
            while errand := step(world, until):
                errand()
        finally:
            with world.lock:
                world.clock.moment = None
                world.set_clock(until)
                world.save()


def step(world: World, until: int) -> Errand | None:
    """Do the next duty; give its errand, or None when nothing more is due."""
    with world.lock:
        row = world.agenda.take(until)
        if row is None:
            return None
        world.clock.moment = row["due"]
        errand = DUTIES[row["do"]](world, row["about"])
        world.save()
    return errand or nothing


def nothing() -> None:
    """The errand of a duty that has none."""


def advance(world: World, seconds: int) -> None:
    run(world, world.clock.running() + seconds)
