"""What the end of a month costs: `python -m bench.closing --customers 500`.

Makes so many payers with 24 hours of usage in the month before, at a local Stripe whose month ends;
times the passes of the worker until every invoice is final. The local Stripe runs on the same
machine and takes its share of it.
"""

import argparse
from datetime import UTC, datetime

from bench.metering import Bench, bench
from tests.local_stripe import advance, control

END = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
SEEN = 5  # seconds after which the local Stripe knows of what it was sent
PAYERS = """
import os
from datetime import timedelta
from django.utils import timezone
from accounts.keys import Kind
from accounts.models import APIKey, Customer, User
from billing import stripe_gateway
from billing.models import Account, UsageHour
from billing.plans import PAYG
from billing.stripe_gateway import v1
meter = stripe_gateway.create_meter()
stripe_gateway.create_product()
price = stripe_gateway.create_price("payg", PAYG.tiers, meter).id
end = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
start = (end - timedelta(days=1)).replace(day=1)
span = int(start.timestamp()), int(end.timestamp())
for number in range(int(os.environ["PAYERS"])):
    user = User.objects.create(email=f"{number}@example.com", password="!")
    one = Customer.objects.create(user=user)
    key = APIKey.objects.create(
        customer=one, kind=Kind.LIVE, digest=str(one.pk).encode(), pepper_version=1
    )
    id = stripe_gateway.create_customer(one.pk, user.email, f"c{one.pk}")
    card = v1().payment_methods.attach("pm_card_visa", {"customer": id})
    stripe_gateway.make_card_default(id, card.id)
    made = stripe_gateway.create_subscription(id, price, "", *span, f"s{one.pk}")
    Account.objects.create(
        customer=one, plan=PAYG.name, stripe_customer_id=id, stripe_subscription_id=made.id
    )
    UsageHour.objects.bulk_create(
        UsageHour(
            customer=one, key=key, hour=end - timedelta(hours=back), calls=70, units=70, errors=0
        )
        for back in range(1, 25)
    )
"""
PASS = """
import resource, threading, time
from billing.closing import close_drafts
begin = time.monotonic()
close_drafts(threading.Event())
print(time.monotonic() - begin)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=500)
    customers = options.parse_args().customers
    with bench(now=int(END.timestamp()) - 3_600) as made:
        made.product.manage("shell", "-v0", "-c", PAYERS, PAYERS=str(customers))
        control(made.stripe, "POST", "clock", {"to": int(END.timestamp())})
        for number in (1, 2):
            made.exchanges.clear()
            report(made, f"pass {number}")
            advance(made.stripe, SEEN)


def report(made: Bench, name: str) -> None:
    told = made.product.manage("shell", "-v0", "-c", PASS).split()
    seconds, processor, peak = map(float, told)
    final = made.product.rows("SELECT count(*) FROM billing_closing WHERE closed_at IS NOT NULL")
    print(
        f"{name}: {seconds:.0f} s, {len(made.exchanges):,} requests, {final[0][0]:,} final;"
        f" the worker took {processor:.0f} s of processor time and {peak / 1024:.0f} MB"
    )


if __name__ == "__main__":
    main()
