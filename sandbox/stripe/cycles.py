"""What time does to a subscription: periods end, are billed, and begin; and it ends itself."""

from sandbox.stripe import drafts
from sandbox.stripe.events import emit, updating
from sandbox.stripe.periods import next_after
from sandbox.stripe.store import Json
from sandbox.stripe.world import World

ENDED = ("canceled",)


def period_of(subscription: Json) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def renew(world: World, id: str) -> None:
    """At the end of a period: bill its usage, and go on to the next, or end as was wished."""
    subscription = world.fetch("subscription", id)
    start, end = period_of(subscription)
    if subscription["status"] in ENDED or end > world.now():
        return
    drafts.create(world, subscription, spans_of(subscription, start, end))
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= end:
        end_now(world, subscription)
        return
    following = next_after(subscription["billing_cycle_anchor"], end)
    with updating(world, subscription, "customer.subscription.updated"):
        for item in subscription["items"]["data"]:
            item |= {"current_period_start": end, "current_period_end": following}
    world.agenda.add(following, "cycles.renew", id)


def spans_of(subscription: Json, start: int, end: int) -> list[Json]:
    return [
        {"item": item["id"], "price": item["price"], "start": start, "end": end}
        for item in subscription["items"]["data"]
    ]


def end_now(world: World, subscription: Json) -> None:
    now = world.now()
    canceled = subscription["canceled_at"] or now
    subscription |= {"status": "canceled", "ended_at": now, "canceled_at": canceled}
    world.store.put(subscription)
    emit(world, "customer.subscription.deleted", subscription)


def living_of(world: World, customer: str) -> list[Json]:
    return [
        subscription
        for subscription in world.store.all("subscription")
        if subscription["customer"] == customer and subscription["status"] not in ENDED
    ]
