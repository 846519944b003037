"""What can go wrong with Stripe."""


class StripeFault(Exception):
    """The message is Stripe's own; it names no secret and no card."""


class StripeUnavailable(StripeFault):
    """Not reached, busy or broken: what was asked may or may not have been done."""


class StripeRefused(StripeFault):
    """Answered with a 4xx: asked again, it would say the same."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class NotFromStripe(StripeFault):
    """A webhook that is not to be believed, or not to be read."""
