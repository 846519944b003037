"""When a subscription begins, and when its first period ends."""

from sandbox.stripe.errors import invalid, unknown
from sandbox.stripe.periods import day_after, months_after
from sandbox.stripe.store import Json
from sandbox.stripe.world import World


def anchor_of(world: World, params: Json) -> int:
    """The moment at which the first period ends, and each later one some months on."""
    if "billing_cycle_anchor_config" in params:
        if "billing_cycle_anchor" in params:
            raise invalid("Name an anchor or its configuration.", "billing_cycle_anchor_config")
        return day_after(world.now(), **config_of(world, params))
    if "billing_cycle_anchor" not in params:
        if "backdate_start_date" in params:
            raise unknown("a backdated subscription without an anchor")
        return world.now()
    anchor = int(params["billing_cycle_anchor"])
    if not world.now() < anchor <= months_after(world.now(), 1):
        message = "billing_cycle_anchor must be in the future, within one interval."
        raise invalid(message, "billing_cycle_anchor")
    return anchor


def config_of(world: World, params: Json) -> dict[str, int]:
    """The day, and the time of the day, which is now where it is not named."""
    now = world.now() % 86_400
    default = {"hour": now // 3_600, "minute": now // 60 % 60, "second": now % 60}
    given = params["billing_cycle_anchor_config"]
    names = ("day_of_month", "hour", "minute", "second")
    config = {name: given.get(name, default.get(name)) for name in names}
    if config["day_of_month"] is None:
        raise invalid("day_of_month is required.", "billing_cycle_anchor_config[day_of_month]")
    return {"day": config.pop("day_of_month"), **config}


def start_of(world: World, params: Json, anchor: int) -> int:
    start = int(params.get("backdate_start_date", world.now()))
    if start > world.now():
        raise invalid("backdate_start_date must be in the past.", "backdate_start_date")
    if start < months_after(anchor, -1):
        raise unknown("a subscription that is backdated by more than one interval")
    return start
