"""How quick the operator's pages are on a long log: `python -m bench.admin --rows 10000000`.

Fills a PostgreSQL of its own, in a temporary folder, with the calls of bench/long_log.py. Each page
is then asked for in this process, as a superuser. Prints the median time of each in milliseconds.
"""

import argparse
import logging
import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import django
from django.core.management import call_command

from bench import long_log
from bench.servers import new_site


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--sql", default="", help="to run before measuring: an index to try, say")
    given = options.parse_args()
    with new_site() as site:
        configure(site.database_url)
        call_command("migrate", verbosity=0)
        long_log.fill(site.database_url, given.rows, given.sql)
        report(given.repeat)


def configure(url: str) -> None:
    os.environ |= {
        "DATABASE_URL": url,
        "SECRET_KEY": "b" * 64,
        "API_KEY_PEPPER": "1:" + "b" * 64,
        "ALLOWED_HOSTS": "testserver",
        "PUBLIC_URL": "http://127.0.0.1",
        "EMAIL_URL": "dummymail://",
        "STRIPE_SECRET_KEY": "sk_test_of_nobody",
        "DJANGO_SETTINGS_MODULE": "mnistapi.settings",
    }
    django.setup()


def report(repeat: int) -> None:
    from django.test import Client

    from accounts.models import User

    logging.disable()
    client = Client()
    client.force_login(User.objects.create_superuser("operator@example.com"))
    print(f"{'page':<44}{'ms':>8}")
    for name, url in pages():
        times = [milliseconds(client, url) for _ in range(repeat + 1)][1:]
        print(f"{name:<44}{statistics.median(times):>8.0f}", flush=True)


def milliseconds(client: Any, url: str) -> float:
    """Until the page is there; of an export, until its first rows are."""
    began = time.perf_counter()
    response = client.get(url)
    if response.streaming:
        parts = iter(response)
        next(parts), next(parts, None)
    took = time.perf_counter() - began
    assert response.status_code == 200, (url, response.status_code)
    response.close()
    return took * 1000


def pages() -> Iterator[tuple[str, str]]:
    """What is measured: names and addresses."""
    from predictions.models import Call

    calls, usage = "/admin/predictions/call/", "/admin/billing/usagehour/"
    day = f"{datetime.now(UTC) - timedelta(days=200):%Y-%m-%d}"
    filters = {
        "all": "",
        "largest customer": "customer=1",
        "tenth customer": "customer=10",
        "hundredth customer": "customer=100",
        "smallest customer": "customer=1000",
        "busiest key": "key=1",
        "second key of largest customer": "key=2",
        "rare key of largest customer": "key=3",
        "rare key of smallest customer": "key=3000",
        "release": "release=softmax-1",
        "rare, old release": "release=rare-1",
        "no release": "release=none",
        "a day": f"day={day}",
        "largest customer, a day": f"customer=1&day={day}",
        "rare release, largest customer": "release=rare-1&customer=1",
    }
    statuses = {
        "status 200": "status=200",
        "all errors": "status=errors",
        "frequent status": "status=422",
        "rare status": "status=500",
        "status without a call": "status=503",
        "errors of the largest customer": "status=errors&customer=1",
        "rare status of the largest customer": "status=500&customer=1",
        "rare status of the smallest customer": "status=500&customer=1000",
        "status of a rare release (never)": "status=422&release=rare-1",
    }
    for name, query in {**filters, **statuses}.items():
        yield f"calls, {name}", f"{calls}?{query}"
    yield "calls, page 50", f"{calls}?p=50"
    yield "calls, page 100", f"{calls}?p=100"
    yield "calls, page 50 of the largest customer", f"{calls}?p=50&customer=1"
    yield "calls, search", f"{calls}?q={Call.objects.order_by('id')[12345].pk}"
    yield "calls, search for no id", f"{calls}?q=0199"
    yield "a call", f"{calls}{Call.objects.order_by('id')[12345].pk}/change/"
    for name in ("all", "rare key of largest customer", "rare, old release"):
        yield f"calls, CSV, {name}", f"{calls}export/?{filters[name]}"
    yield "calls, CSV, all errors", f"{calls}export/?status=errors"
    for name, query in filters.items():
        yield f"usage, {name}", f"{usage}?{query}"
    yield "usage, page 50", f"{usage}?p=50"
    yield "usage, CSV", f"{usage}export/"
    for period in (7, 30, 90):
        yield f"chart, {period} days", f"{usage}chart/?period={period}"
    yield "chart, 90 days, largest customer", f"{usage}chart/?period=90&customer=1"
    yield "chart, 90 days, rare release", f"{usage}chart/?period=90&release=rare-1"
    yield "customers", "/admin/accounts/customer/"
    yield "customers, search", "/admin/accounts/customer/?q=customer77"
    yield "keys", "/admin/accounts/apikey/"
    yield "keys, active, search", "/admin/accounts/apikey/?state=active&q=customer77"
    yield "users", "/admin/accounts/user/"
    yield "index", "/admin/"


if __name__ == "__main__":
    main()
