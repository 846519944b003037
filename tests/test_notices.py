"""The e-mails of limits, and the process that sends them."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from accounts.keys import Kind
from billing import notices
from billing.management.commands import bill
from billing.models import GIVEN_UP_AFTER, Account, Notice
from billing.plans import PLANS
from tests.conftest import Holder
from tests.serving import ROOT, Server, drop_database, new_database
from tests.threads import in_a_thread

MONTH = timezone.now().date().replace(day=1)
BLANK = [0] * 784
BILLING, USAGE = (f"{settings.PUBLIC_URL}/dashboard/{page}/" for page in ("billing", "usage"))
HERE = f"{__name__}."


class MailServer(BaseEmailBackend):
    """Refuses whom it is told to; holds each e-mail until it may go on."""

    refused: set[str] = set()
    sent: list[str] = []
    arrived, go_on = threading.Semaphore(0), threading.Event()

    def send_messages(self, messages: Sequence[EmailMessage]) -> int:
        for message in messages:
            (address,) = message.to
            MailServer.arrived.release()
            assert MailServer.go_on.wait(20)
            if address in self.refused:
                raise SMTPRecipientsRefused({address: (550, b"no such user")})
            MailServer.sent.append(address)
        return len(messages)


@pytest.fixture
def mail_server(settings: Any) -> type[MailServer]:
    settings.EMAIL_BACKEND = f"{HERE}MailServer"
    MailServer.refused, MailServer.sent = set(), []
    MailServer.arrived, MailServer.go_on = threading.Semaphore(0), threading.Event()
    MailServer.go_on.set()
    return MailServer


@pytest.fixture
def live(holder: Callable[..., Holder]) -> Holder:
    return holder("owner@example.com", Kind.LIVE)


def have(holder: Holder, **fields: Any) -> Account:
    """The holder's account, with these fields."""
    account = Account.objects.of(holder.customer)
    Account.objects.filter(pk=account.pk).update(**{"period": MONTH, **fields})
    account.refresh_from_db()
    return account


def made(holder: Holder, kind: str = "allowance", percent: int = 50, **fields: Any) -> Notice:
    values = {"period": MONTH, "limit": 1000 if kind == "allowance" else 5000, **fields}
    account = Account.objects.of(holder.customer)
    return Notice.objects.create(account=account, kind=kind, percent=percent, **values)


def sent(notice: Notice) -> bool:
    notice.refresh_from_db()
    return notice.sent_at is not None


def words(text: str) -> str:
    return " ".join(text.split())


# From the call to the e-mail


@pytest.mark.parametrize(("before", "percent"), [(499, 50), (799, 80), (999, 100)])
def test_a_call_that_reaches_a_level_of_the_allowance_is_followed_by_one_email(
    call: Any, live: Holder, before: int, percent: int
) -> None:
    have(live, live_units=before, allowance_told={50: 0, 80: 50, 100: 80}[percent])
    assert call(BLANK, key=live.key).status_code == 200
    call(BLANK, key=live.key)
    call_command("bill")
    call_command("bill")
    (message,) = mail.outbox
    assert message.to == ["owner@example.com"]
    assert message.from_email == settings.DEFAULT_FROM_EMAIL
    assert "is used up" in message.subject
    assert (f"{percent} %" in message.subject) == (percent < 100)
    assert [notice.percent for notice in Notice.objects.all()] == [percent]


def test_a_call_that_the_spend_limit_refuses_is_followed_by_an_email(
    call: Any, live: Holder
) -> None:
    have(live, plan="payg", live_units=1000, allowance_told=100, spend_limit_cents=0)
    assert [call(BLANK, key=live.key).status_code for _ in range(2)] == [402, 402]
    call_command("bill")
    (message,) = mail.outbox
    assert message.subject == "Your spend limit is used up"
    assert "have reached your spend limit of $0.00" in message.body


def test_test_keys_are_followed_by_no_email(call: Any, owner: Holder) -> None:
    have(owner, test_units=19_999)
    assert [call(BLANK).status_code for _ in range(2)] == [200, 429]
    call_command("bill")
    assert mail.outbox == []


# What it says


@pytest.mark.parametrize(
    ("plan", "kind", "percent", "said"),
    [
        ("free", "allowance", 50, "have reached 50 % of the 1,000 units that are free in"),
        ("free", "allowance", 100, "have reached the end of the 1,000 units that are free in"),
        ("payg", "allowance", 80, "have reached 80 % of the 1,000 units that are free in"),
        ("payg", "spend", 80, "have reached 80 % of your spend limit of $50.00 for"),
        ("payg", "spend", 100, "have reached your spend limit of $50.00 for"),
    ],
)
def test_it_says_what_is_used_up_of_what_and_where_to_change_it(
    owner: Holder, plan: str, kind: str, percent: int, said: str
) -> None:
    have(owner, plan=plan)
    made(owner, kind, percent, period=date(2026, 12, 1))
    call_command("bill")
    (message,) = mail.outbox
    assert f"{said} December 2026." in words(message.body)
    assert f"\n\n    {BILLING}\n" in message.body
    assert f"\n\n    {USAGE}\n" in message.body
    assert ("January begins" in words(message.body)) == ((plan, kind) != ("payg", "allowance"))
    assert max(map(len, message.body.splitlines())) < 100
    assert "&" not in message.body
    assert message.alternatives == []


@pytest.mark.parametrize("percent", [50, 80, 100])
@pytest.mark.parametrize(
    ("plan", "kind", "next_"),
    [
        ("free", "allowance", "more than is left is refused (402 payment_required) until"),
        ("payg", "allowance", "Each unit beyond these has its price, up to your spend limit."),
        ("payg", "spend", "refused (402 spend_limit_reached) and not charged, until you raise"),
    ],
)
def test_it_says_what_happens_next(
    owner: Holder, plan: str, kind: str, percent: int, next_: str
) -> None:
    have(owner, plan=plan)
    made(owner, kind, percent)
    call_command("bill")
    assert next_ in words(mail.outbox[0].body)


# Sending


def test_what_is_sent_is_not_sent_again(owner: Holder) -> None:
    notice = made(owner)
    before = timezone.now()
    call_command("bill")
    assert sent(notice)
    assert notice.sent_at
    assert before <= notice.sent_at <= timezone.now()
    call_command("bill")
    assert len(mail.outbox) == 1


def test_an_email_that_is_refused_stops_no_other_and_is_tried_again(
    owner: Holder, stranger: Holder, mail_server: type[MailServer]
) -> None:
    mail_server.refused = {"owner@example.com"}
    first, second = made(owner), made(stranger)
    call_command("bill")
    assert (sent(first), sent(second)) == (False, True)
    call_command("bill")
    mail_server.refused = set()
    call_command("bill")
    assert not sent(first), "it is left alone for a while"
    Notice.objects.update(due_at=timezone.now())
    call_command("bill")
    assert sent(first)
    assert mail_server.sent == ["stranger@example.com", "owner@example.com"]


def test_an_email_is_tried_once_a_pass(owner: Holder, mail_server: type[MailServer]) -> None:
    mail_server.refused = {"owner@example.com"}
    made(owner)
    assert len(list(notices.send_due())) == 1


@pytest.mark.parametrize(
    ("age", "wait"),
    [
        (timedelta(0), timedelta(minutes=1)),
        (timedelta(minutes=7), timedelta(minutes=7)),
        (timedelta(days=3), timedelta(hours=1)),
    ],
)
def test_it_waits_as_long_again_as_it_has_waited(
    owner: Holder, mail_server: type[MailServer], age: timedelta, wait: timedelta
) -> None:
    mail_server.refused = {"owner@example.com"}
    now = timezone.now()
    notice = made(owner, made_at=now - age, due_at=now - age)
    call_command("bill")
    notice.refresh_from_db()
    assert abs(notice.due_at - now - wait) < timedelta(seconds=10)


def test_what_cannot_be_sent_for_a_week_is_given_up(owner: Holder) -> None:
    week_ago = timezone.now() - GIVEN_UP_AFTER
    old = made(owner, made_at=week_ago - timedelta(seconds=1))
    young = made(owner, percent=80, made_at=week_ago + timedelta(minutes=1))
    call_command("bill")
    assert (sent(old), sent(young)) == (False, True)


def test_an_email_that_is_not_noted_as_sent_is_sent_again(
    owner: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice = made(owner)

    def broken(*args: object, **kwargs: object) -> None:
        raise OperationalError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Notice, "save", broken)
        with pytest.raises(OperationalError):
            call_command("bill")
    assert not sent(notice)
    call_command("bill")
    assert sent(notice)
    assert len(mail.outbox) == 2


@pytest.mark.django_db(transaction=True)
def test_of_several_processes_one_sends_it(
    owner: Holder, stranger: Holder, mail_server: type[MailServer]
) -> None:
    mail_server.go_on.clear()
    made(owner), made(stranger), made(owner, percent=80)
    passes = [in_a_thread(lambda: list(notices.send_due())) for _ in range(4)]
    for _ in range(3):
        assert mail_server.arrived.acquire(timeout=10), "each has one in its hands"
    mail_server.go_on.set()
    for one in passes:
        one.result(timeout=10)
    assert sorted(mail_server.sent) == ["owner@example.com"] * 2 + ["stranger@example.com"]
    assert not Notice.objects.filter(sent_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_calls_do_not_wait_for_the_mail_server(
    call: Any, live: Holder, mail_server: type[MailServer]
) -> None:
    mail_server.go_on.clear()
    have(live, live_units=998)
    made(live, percent=80)
    sending = in_a_thread(lambda: list(notices.send_due()))
    assert mail_server.arrived.acquire(timeout=10)
    answers = in_a_thread(lambda: [call(BLANK, key=live.key).status_code for _ in range(3)])
    assert answers.result(timeout=10) == [200, 200, 402]
    assert not sending.done()
    mail_server.go_on.set()
    sending.result(timeout=10)
    assert set(Notice.objects.values_list("percent", flat=True)) == {80, 100}


def test_told_to_stop_a_pass_ends_behind_the_email_in_hand(owner: Holder, stranger: Holder) -> None:
    made(owner), made(stranger)
    stopped = threading.Event()
    stopped.set()
    bill.run_once(stopped)
    assert len(mail.outbox) == 1


# The process


class Worker:
    """`manage.py bill --loop` on a database of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.server = Server(url, folder)
        self.log = folder / "worker.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "bill", "--loop"],
                cwd=ROOT,
                env=self.server.environment,
                stderr=log,
            )

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 40
        while not is_so():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def logged(self, event: str) -> int:
        return self.log.read_text().count(f'"event": "{event}"')

    def execute(self, statement: str) -> None:
        with psycopg2.connect(self.server.database_url) as database, database.cursor() as cursor:
            cursor.execute(statement)
        database.close()

    def make_notice(self, percent: int) -> None:
        self.execute(
            'INSERT INTO billing_notice (account_id, period, kind, percent, "limit", made_at) '
            f"SELECT customer_id, '{MONTH}', 'allowance', {percent}, 1000, now() "
            "FROM billing_account"
        )

    def stop(self, number: int) -> int:
        """The exit code after that signal, which must not take long."""
        self.process.send_signal(number)
        return self.process.wait(timeout=5)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """A worker whose database does not exist yet."""
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    drop_database(here, url)
    worker = Worker(url, tmp_path)
    yield worker
    worker.process.kill()
    worker.process.wait()
    admin = psycopg2.connect(here)
    admin.autocommit = True
    name = url.partition("?")[0].rpartition("/")[2]
    with admin.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    admin.close()


def create(url: str) -> None:
    admin = psycopg2.connect(os.environ["DATABASE_URL"])
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {url.partition('?')[0].rpartition('/')[2]}")
    admin.close()


def test_the_worker_waits_for_its_database_and_ends_when_it_is_told(worker: Worker) -> None:
    worker.until(lambda: worker.logged("pass_failed") > 0)
    create(worker.server.database_url)
    failed = worker.logged("pass_failed")
    worker.until(lambda: worker.logged("pass_failed") > failed)  # there are no tables yet
    worker.server.manage("migrate", "--verbosity=0")
    worker.server.manage("create_key", "owner@example.com", "--plan", "free")
    time.sleep(bill.PAUSE_SECONDS + 1)
    failed = worker.logged("pass_failed")
    for count, percent in enumerate((50, 80), start=1):
        worker.make_notice(percent)
        worker.until(lambda count=count: worker.logged("notice_sent") == count)  # type: ignore[misc]
        time.sleep(1)  # now it pauses, with its connection
        worker.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    text = "".join(file.read_text() for file in worker.server.mail.iterdir())
    assert text.count("To: owner@example.com") == 2
    assert f"{worker.server.url}/dashboard/billing/" in text
    assert worker.logged("pass_failed") == failed, "a connection that was lost costs no pass"
    assert worker.stop(signal.SIGTERM) == 0
    assert "Traceback" not in worker.log.read_text()


def test_the_worker_ends_on_ctrl_c_though_its_database_is_away(worker: Worker) -> None:
    worker.until(lambda: worker.logged("pass_failed") > 0)
    assert worker.stop(signal.SIGINT) == 0
    assert "Traceback" not in worker.log.read_text()


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_has_its_emails(owner: Holder, plan: str) -> None:
    have(owner, plan=plan, payment_due_since=timezone.now())
    for kind in Notice.Kind:
        made(owner, kind)
    call_command("bill")
    assert len(mail.outbox) == len(Notice.Kind)
