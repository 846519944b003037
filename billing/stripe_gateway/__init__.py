"""Stripe, as the product knows it: a function for each thing that is asked of it.

The one package that imports its library. What comes back are values of ours; what goes wrong is
`StripeUnavailable`, to be tried again later, or `StripeRefused`, which time does not heal. What the
library sends again after a fault is done once: each POST carries an idempotency key.
"""

from billing.stripe_gateway.catalogue import (
    PRODUCT,
    count_subscriptions,
    create_price,
    create_product,
    find_price,
    find_product,
)
from billing.stripe_gateway.checkout import (
    retrieve_checkout_session,
    setup_checkout_url,
)
from billing.stripe_gateway.client import API_VERSION, v1, v2
from billing.stripe_gateway.customers import create_customer, make_card_default
from billing.stripe_gateway.destinations import (
    find_or_create_event_destination,
    find_or_create_webhook_endpoint,
)
from billing.stripe_gateway.events import undelivered_events, verified_event
from billing.stripe_gateway.faults import (
    NotFromStripe,
    StripeFault,
    StripeRefused,
    StripeUnavailable,
)
from billing.stripe_gateway.invoices import (
    finalize_invoice,
    list_invoices,
    list_lines,
    pay_invoice,
    retrieve_invoice,
    set_auto_advance,
)
from billing.stripe_gateway.meter_errors import (
    METER_ERRORS,
    list_meter_errors,
    retrieve_meter_errors,
)
from billing.stripe_gateway.meters import (
    create_meter,
    find_meter,
    hourly_summaries,
    send_meter_event,
)
from billing.stripe_gateway.portal import (
    create_portal_configuration,
    find_portal_configuration,
    portal_url,
    set_portal_configuration,
)
from billing.stripe_gateway.subscriptions import (
    create_subscription,
    is_our_subscription,
    subscriptions_of,
)
from billing.stripe_gateway.values import (
    CheckoutSession,
    Destination,
    Event,
    Invoice,
    Line,
    MeterErrors,
    Price,
    Subscription,
    Summary,
)
