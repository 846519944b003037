"""A whole business on one machine: gunicorn, the worker process, PostgreSQL and a local Stripe.

All of them go by one clock, which a test moves on. Calls, hours and months are dated by the
database: there, functions that stand before PostgreSQL's own tell the time.
"""

import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

from sandbox.stripe.server import Exchange, LocalStripe
from tests.local_stripe import checked_stripe, control
from tests.serving import ROOT, Server, drop_database, new_database

OPERATOR = "operator@example.com"
PATIENCE_SECONDS = 60
CLOCK = """
CREATE TABLE moved_by (seconds bigint NOT NULL);
INSERT INTO moved_by VALUES (0);
CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT pg_catalog.clock_timestamp() + seconds * interval '1 s' FROM public.moved_by$$;
CREATE FUNCTION statement_timestamp() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT pg_catalog.statement_timestamp() + seconds * interval '1 s' FROM public.moved_by$$;
CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS
    $$SELECT pg_catalog.now() + seconds * interval '1 s' FROM public.moved_by$$;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %%I SET search_path = public, pg_catalog', current_database());
END $$;
"""
SIGN_IN = f"""
from django.test import Client
from accounts.models import User
client = Client()
client.force_login(User.objects.create_superuser("{OPERATOR}"))
print(client.cookies["sessionid"].value)
"""
LIST = re.compile(r'href="(/admin/\w+/\w+/)"')
ROW = re.compile(r'href="(/admin/[^"]+/change/[^"]*)"')
EXPORT = re.compile(r'href="(/admin/[^"]+/export/[^"]*)"')
NOT_PUSHED = """
SELECT 1 FROM billing_usagehour h LEFT JOIN billing_meterpush p USING (customer_id, hour)
WHERE h.units > 0 AND p.units IS DISTINCT FROM h.units
"""


@dataclass
class Installation:
    """`asked` is what the product asked of Stripe, `printed` what commands of manage.py printed.

    Whatever happens until the worker is started, Stripe told by webhook alone.
    """

    server: Server
    local: LocalStripe
    worker: "subprocess.Popen[bytes] | None" = None
    asked: list[Exchange] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    @property
    def secrets(self) -> dict[str, str]:
        """Those of the installation, by name; of an address of webhooks by its id at Stripe."""
        names = ("SECRET_KEY", "API_KEY_PEPPER", "STRIPE_SECRET_KEY")
        own = {name: self.server.extra[name].removeprefix("1:") for name in names}
        return own | control(self.local, "GET", "secrets")

    @property
    def worker_log(self) -> Path:
        return self.server.folder / "worker.log"

    def listen(self) -> None:
        watch = self.local.watch

        def note(exchange: Exchange) -> None:
            self.asked.append(exchange)
            watch(exchange)

        self.local.watch = note

    def open(self, moment: datetime) -> None:
        """Begin business at that moment."""
        self.server.rows(CLOCK)
        self.move(moment)
        self.server.prepare().manage("stripe_setup")
        hooks = control(self.local, "GET", "secrets")
        self.server.extra["STRIPE_WEBHOOK_SECRET"] = ",".join(hooks.values())
        self.server.serve()

    def start_worker(self) -> None:
        with self.worker_log.open("wb") as log:
            self.worker = subprocess.Popen(
                self.command("bill", "--loop"),
                cwd=ROOT,
                env=self.server.environment,
                stdout=log,
                stderr=log,
            )

    def close(self) -> None:
        if self.worker:
            self.worker.terminate()
            self.worker.wait(timeout=40)
        self.server.stop()

    def move(self, moment: datetime) -> None:
        """The product and its database go on from that moment."""
        seconds = math.ceil(moment.timestamp() - time.time())
        file = Path(self.server.extra["MOVED_BY"])
        new = file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(file)
        self.server.rows("UPDATE moved_by SET seconds = %s", seconds)

    def go_on_at(self, moment: datetime) -> None:
        """All go on from that moment; what falls due at Stripe until then is done."""
        self.move(moment)
        control(self.local, "POST", "clock", {"to": int(moment.timestamp())})

    def let_stripe_count(self, until: datetime) -> None:
        """The worker pushes all that was used, and Stripe has counted it by that moment."""
        eventually(lambda: not self.server.rows(NOT_PUSHED))
        self.go_on_at(until)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tests.on_another_day", *arguments]

    def manage(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """A command of manage.py, by its clock."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=ROOT,
            env=self.server.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.printed += [done.stdout, done.stderr]
        return done

    def operators_pages(self) -> Iterator[tuple[str, str]]:
        """The lists of the admin, with the first row and the file of each: address and text."""
        session = self.manage("shell", "-v0", "-c", SIGN_IN).stdout.strip()

        def page(path: str) -> str:
            answer = self.server.get(path, {"Cookie": f"sessionid={session}"})
            assert answer.status == 200, path
            return answer.text

        for path in sorted(set(LIST.findall(page("/admin/")))):
            yield path, (text := page(path))
            for first in (ROW.search(text), EXPORT.search(text)):
                if first:
                    yield first[1], page(first[1].replace("&amp;", "&"))

    def mails(self) -> list[str]:
        return [file.read_text() for file in self.server.mail.iterdir()]

    def written(self) -> Iterator[tuple[str, str]]:
        """Everything that the product wrote, but for e-mail: where, and the text."""
        named = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        for (name,) in self.server.rows(named):
            rows = self.server.rows(f'SELECT t::text FROM public."{name}" AS t')
            yield f"table {name}", "\n".join(text for (text,) in rows)
        yield "the log of gunicorn", self.server.log.read_text()
        yield "the log of the worker", self.worker_log.read_text()
        yield "what commands printed", "\n".join(self.printed)
        yield "requests to Stripe", "\n".join(str(exchange.params) for exchange in self.asked)


def eventually(is_so: Callable[[], Any]) -> None:
    """Wait until it is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def open_installation(folder: Path, moment: datetime) -> Iterator[Installation]:
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    try:
        with checked_stripe(now=int(moment.timestamp())) as local:
            installation = Installation(server_of(url, folder, local), local)
            installation.listen()
            try:
                installation.open(moment)
                yield installation
            finally:
                installation.close()
    finally:
        drop_database(here, url)


def server_of(url: str, folder: Path, local: LocalStripe) -> Server:
    """The product as most run it, with secrets that are nobody else's."""
    extra = {
        "MOVED_BY": str(folder / "moved_by"),
        "MODEL_RUNTIME": "litert",
        "OPERATOR_EMAIL": OPERATOR,
        "SECRET_KEY": token_hex(32),
        "API_KEY_PEPPER": f"1:{token_hex(32)}",
        "STRIPE_SECRET_KEY": f"sk_test_{token_hex(16)}",
        "STRIPE_API_BASE": local.url,
    }
    return Server(url, folder, extra, app="tests.on_another_day:application")


def first_of_month(after: datetime) -> datetime:
    """When the next month begins."""
    month = after.year * 12 + after.month
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
