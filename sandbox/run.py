"""`make run`: the whole product on a laptop, with a key made for this run.

Starts PostgreSQL unless `DATABASE_URL` names one, and the local Stripe unless `STRIPE_SECRET_KEY`
is there; migrates, serves on 127.0.0.1 and, once a call would be answered, prints the key and the
curl that works with it, and starts the worker.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from sandbox import environment
from sandbox.stripe.server import LocalStripe

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "you@example.com"
KEY_LIFETIME = timedelta(days=1)
START_SECONDS = 60

READY = """
mnistapi is ready at {url}

A test key made for this run, good for a day:

    {key}

Recognise the digit in mnistapi/static/mnistapi/digit.json:

    curl {url}/v1/predictions \\
      -H "Authorization: Bearer {key}" \\
      -H "Content-Type: application/json" \\
      --data @mnistapi/static/mnistapi/digit.json

Payments are those of {stripe}.
Sign up at {url}/accounts/signup/ (e-mail is printed here). The admin is at {url}/admin/; make
yourself its operator with `.venv/bin/python manage.py createsuperuser`. Ctrl-C stops the server.
"""


def main() -> int:
    os.chdir(ROOT)
    stripe_is_local = not os.environ.get("STRIPE_SECRET_KEY")
    environment.fill()
    prepare()
    port = int(os.environ["PORT"])
    url = f"http://127.0.0.1:{port}"
    if something_listens(port):
        return failed(f"Port {port} is taken. Choose another: PORT={port + 1} make run")
    try:
        with local_stripe() if stripe_is_local else nullcontext():
            return serve(url)
    except OSError as error:
        return failed(f"The local Stripe cannot start: {error}")


@contextmanager
def local_stripe() -> Iterator[None]:
    """Stripe's stand-in, in this process, set up; it remembers all in .data."""
    base = urlsplit(os.environ["STRIPE_API_BASE"])
    stripe = LocalStripe(base.port or 0, environment.DATA / "stripe.sqlite").start()
    try:
        set_stripe_up(stripe.url)
        yield
    finally:
        stripe.stop()


def set_stripe_up(url: str) -> None:
    """Its webhooks come here, signed with secrets that the server is given."""
    from django.core.management import call_command

    call_command("stripe_setup", stdout=io.StringIO())
    with urllib.request.urlopen(f"{url}/_sandbox/secrets", timeout=5) as answer:
        os.environ["STRIPE_WEBHOOK_SECRET"] = ",".join(json.load(answer).values())


def serve(url: str) -> int:
    server = subprocess.Popen(
        [Path(sys.executable).with_name("gunicorn"), "--bind", url.removeprefix("http://")]
    )
    # Ctrl-C reaches gunicorn too, which finishes what it has; this process waits for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stop in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(stop, lambda *_: server.terminate())
    if not wait_until_ready(url, server):
        server.terminate()
        return server.wait() or failed("The server did not become ready; its log is above.")
    print(READY.format(url=url, key=issue_key(), stripe=stripe_in_words()), flush=True)
    worker = subprocess.Popen([sys.executable, "manage.py", "bill", "--loop"])
    try:
        return server.wait()
    finally:
        worker.terminate()
        worker.wait()


def stripe_in_words() -> str:
    base = os.environ.get("STRIPE_API_BASE")
    return f"the local Stripe at {base}: no money moves" if base else "Stripe"


def failed(reason: str) -> int:
    print(reason, file=sys.stderr)
    return 1


def something_listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def prepare() -> None:
    """The database as this version of the code needs it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnistapi.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("createcachetable", verbosity=0)
    call_command("roll_log")


def issue_key() -> str:
    from django.utils import timezone

    from accounts.keys import Kind
    from accounts.models import APIKey, Customer

    customer = Customer.objects.with_email(EMAIL)
    expires_at = timezone.now() + KEY_LIFETIME
    _, key = APIKey.objects.issue(customer, Kind.TEST, "make run", expires_at)
    return str(key)


def wait_until_ready(url: str, server: "subprocess.Popen[bytes]") -> bool:
    """Whether the server took up its work, before it ended or the time was up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


if __name__ == "__main__":
    sys.exit(main())
