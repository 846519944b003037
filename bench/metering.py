"""What pushing usage costs: `python -m bench.metering --customers 10000`.

Makes so many payers, each with units in the running hour, on a database and at a local Stripe of
its own. Times one pass of the worker, which pushes all of them, and one that finds nothing to push.
The local Stripe runs on the same machine and takes its share of it.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox import environment
from sandbox.stripe.server import Exchange, LocalStripe
from tests.serving import Server, drop_database, new_database

PAYERS = """
import os
from django.utils import timezone
from accounts.keys import Kind
from accounts.models import APIKey, Customer, User
from billing import stripe_gateway
from billing.models import Account, UsageHour
from billing.plans import PAYG
stripe_gateway.create_meter()
emails = [f"{number}@example.com" for number in range(int(os.environ["PAYERS"]))]
users = User.objects.bulk_create(User(email=email, password="!") for email in emails)
customers = Customer.objects.bulk_create(Customer(user=user) for user in users)
keys = APIKey.objects.bulk_create(
    APIKey(customer=one, kind=Kind.LIVE, digest=str(one.pk).encode(), pepper_version=1)
    for one in customers
)
Account.objects.bulk_create(
    Account(
        customer=one,
        plan=PAYG.name,
        stripe_customer_id=stripe_gateway.create_customer(one.pk, one.user.email, f"c{one.pk}"),
        stripe_subscription_id="sub_of_nobody",
    )
    for one in customers
)
hour = timezone.now().replace(minute=0, second=0, microsecond=0)
UsageHour.objects.bulk_create(
    UsageHour(customer=key.customer, key=key, hour=hour, calls=7, units=7, errors=0)
    for key in keys
)
"""
PASSES = """
import resource, threading, time
from billing.meter import Pushing
passes, stopped = Pushing(), threading.Event()
for _ in range(2):
    begin = time.monotonic()
    passes.run(stopped)
    print(time.monotonic() - begin)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


@dataclass
class Bench:
    """A database and a local Stripe of its own, with what that was asked for."""

    product: Server
    stripe: LocalStripe
    exchanges: list[Exchange]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--customers", type=int, default=10_000)
    with bench() as made:
        report(made, options.parse_args().customers)


@contextmanager
def bench(now: int | None = None) -> Iterator[Bench]:
    """`now` sets the clock of the local Stripe."""
    environment.fill()
    here = os.environ["DATABASE_URL"]
    database = new_database(here)
    exchanges: list[Exchange] = []
    stripe = LocalStripe(now=now, watch=exchanges.append).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            extra = {"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_API_BASE": stripe.url}
            product = Server(database, Path(folder), extra)
            product.manage("migrate", "--verbosity=0")
            yield Bench(product, stripe, exchanges)
    finally:
        stripe.stop()
        drop_database(here, database)


def report(made: Bench, customers: int) -> None:
    begin = time.monotonic()
    made.product.manage("shell", "-v0", "-c", PAYERS, PAYERS=str(customers))
    print(f"{customers:,} payers made in {time.monotonic() - begin:.0f} s")
    told = made.product.manage("shell", "-v0", "-c", PASSES).split()
    first, second, processor, peak = map(float, told)
    pushes = [one for one in made.exchanges if one.path == "/v1/billing/meter_events"]
    counted = sum(push.status == 200 for push in pushes)
    print(f"all pushed in {first / 60:.1f} min, {customers / first:.0f} a second")
    print(f"{len(pushes):,} requests, {counted:,} of them accepted")
    print(f"a pass that finds nothing to push: {second * 1000:.0f} ms")
    print(f"processor time of the worker: {processor / customers * 1000:.1f} ms a customer")
    print(f"peak memory of the worker: {peak / 1024:.0f} MB")


if __name__ == "__main__":
    main()
