from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from billing import rating, stripe_gateway
from billing.plans import GRADUATED, PRICE_LOOKUP_KEY, Tier
from billing.stripe_gateway import Destination, Price, StripeFault
from billing.webhooks import SNAPSHOT_TYPES


class Command(BaseCommand):
    help = "Make at Stripe what the product needs there, or find it: run twice it changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.set_up()
        except StripeFault as fault:
            raise CommandError(f"Stripe: {fault}. What is done is done; run this again.") from fault

    def set_up(self) -> None:
        meter = self.found("meter", stripe_gateway.find_meter(), stripe_gateway.create_meter)
        self.found("product", stripe_gateway.find_product(), stripe_gateway.create_product)
        self.set_price(meter)
        self.set_portal()
        self.set_destinations()

    def found(self, what: str, id: str, make: Callable[[], str]) -> str:
        """The id, of what is made now if there is none."""
        is_new = not id
        id = id or make()
        self.told(what, id, is_new)
        return id

    def told(self, what: str, id: str, is_new: bool) -> None:
        self.stdout.write(f"{what} {id} {'made' if is_new else 'is there'}")

    def set_price(self, meter: str) -> None:
        old = stripe_gateway.find_price(PRICE_LOOKUP_KEY)
        if old and old.meter == meter and old.tiers == GRADUATED:
            self.told("price", old.id, is_new=False)
            return
        new = stripe_gateway.create_price(PRICE_LOOKUP_KEY, GRADUATED, meter)
        self.told("price", new.id, is_new=True)
        if old:
            self.tell_change(old, new)

    def tell_change(self, old: Price, new: Price) -> None:
        """Nobody's price changes by this; said, because the product rates by the new one."""
        stay = stripe_gateway.count_subscriptions(old.id)
        self.stdout.write(
            f"The plan has changed.\n"
            f"  {old.id}: {in_words(old.tiers)}\n"
            f"  {new.id}: {in_words(new.tiers)}\n"
            f"Who adds a card from now on is billed by {new.id}.\n"
            f"Subscriptions that stay at {old.id}: {stay}. They are billed by it until you move\n"
            f"them (docs/operations.md), while their pages, spend limits and `prove` reckon with\n"
            f"the new price already."
        )

    def set_portal(self) -> None:
        back = settings.PUBLIC_URL + reverse("billing")
        id = self.found(
            "portal configuration",
            stripe_gateway.find_portal_configuration(),
            lambda: stripe_gateway.create_portal_configuration(back),
        )
        stripe_gateway.set_portal_configuration(id, back)

    def set_destinations(self) -> None:
        """Where Stripe's events go to. Their secrets are shown here once, and never again."""
        url = settings.PUBLIC_URL + reverse("stripe-webhook")
        snapshots = stripe_gateway.find_or_create_webhook_endpoint(url, SNAPSHOT_TYPES)
        thin = stripe_gateway.find_or_create_event_destination(url)
        for what, destination in (("webhook endpoint", snapshots), ("event destination", thin)):
            self.told(what, destination.id, destination.is_new)
            if destination.was_disabled:
                self.stdout.write("  It was disabled, and is enabled again.")
        self.show_secrets([snapshots, thin])

    def show_secrets(self, destinations: list[Destination]) -> None:
        if secrets := [one.secret for one in destinations if one.is_new]:
            self.stdout.write(
                "Add to STRIPE_WEBHOOK_SECRET, which takes several with commas between them:\n"
                f"  {','.join(secrets)}"
            )


def in_words(tiers: tuple[Tier, ...]) -> str:
    """For example: $0.00 up to 1,000, $0.0005 for all further."""
    return ", ".join(
        f"{rating.shown(tier.price)} {f'up to {tier.up_to:,}' if tier.up_to else 'for all further'}"
        for tier in tiers
    )
