"""The cast that every test file knows, and the two ways to reach the product."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.keys import Kind
from accounts.models import APIKey, Customer, User
from billing import ledger
from model import serving
from tests.clock import Clock
from tests.releases import two
from tests.serving import DOORS, Server, drop_database, new_database

DIGIT = settings.BASE_DIR / "mnistapi" / "static" / "mnistapi" / "digit.json"
PASSWORD = "correct horse battery"

# How long an example takes is up to the machine.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")


@dataclass
class Holder:
    """A customer with a key: `key` is the text that he sends, `row` what is kept of it."""

    customer: Customer
    row: APIKey
    key: str


# Once for all: a hash of a password takes longer than most tests.
hashed = cache(make_password)


@pytest.fixture
def holder(db: None) -> Callable[..., Holder]:
    """Makes a customer of that e-mail, if he is new, and a key of that kind."""

    def make(email: str, kind: Kind = Kind.TEST) -> Holder:
        user = User.objects.filter(email=email).first()
        if user is None:
            user = User.objects.create(email=email, password=hashed(PASSWORD))
            user.emailaddress_set.create(email=email, verified=True, primary=True)
        customer = Customer.objects.of(user)
        return Holder(customer, *APIKey.objects.issue(customer, kind, "a key"))

    return make


@pytest.fixture
def owner(holder: Callable[..., Holder]) -> Holder:
    return holder("owner@example.com")


@pytest.fixture
def stranger(holder: Callable[..., Holder]) -> Holder:
    return holder("stranger@example.com")


@pytest.fixture
def revoked(holder: Callable[..., Holder]) -> Holder:
    """The owner's other key, which is revoked."""
    revoked = holder("owner@example.com")
    revoked.row.revoke()
    return revoked


@pytest.fixture
def admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator@example.com"))
    return client


@pytest.fixture
def staff(db: None) -> Callable[..., Client]:
    """A client of a member of staff who has these permissions and no other."""

    def make(*permissions: str) -> Client:
        user = User.objects.create_user("staff@example.com", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture(scope="session")
def release() -> str:
    """The released model, warm in this process."""
    serving.load("softmax-1")
    return serving.current().name


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of releases is another, with two of them, of which none is loaded."""
    monkeypatch.setattr(serving, "RELEASES", two(tmp_path / "releases"))
    monkeypatch.setattr(serving, "_loaded", None)
    return serving.RELEASES


@pytest.fixture
def call(release: str, owner: Holder, client: Client) -> Callable[..., Any]:
    """POST to the API, in this process: `call(body)`, with the owner's key."""

    def post(
        body: object, path: str = "/v1/predictions", key: str = owner.key, **extra: Any
    ) -> Any:
        extra.setdefault("content_type", "application/json")
        headers = {"Authorization": f"Bearer {key}", **extra.pop("headers", {})}
        client.raise_request_exception = False
        return client.post(path, body, headers=headers, **extra)

    return post


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which calls are decided, at a noon of November until it is set."""
    clock = Clock(datetime(2026, 11, 23, 12, tzinfo=UTC))
    monkeypatch.setattr(ledger, "opened", clock.opened)
    return clock


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The product as it runs, one for all tests; its database is its own."""
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    server = Server(url, tmp_path_factory.mktemp("server"))
    try:
        yield server.start()
    finally:
        server.stop()
        drop_database(here, url)


@pytest.fixture(scope="session")
def wsgi_server(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same product on the same database, behind its other door."""
    other = Server(server.database_url, tmp_path_factory.mktemp("wsgi"), door="wsgi")
    try:
        yield other.serve()
    finally:
        other.stop()


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest, server: Server) -> Server:
    """Each of the doors in turn."""
    if request.param == "asgi":
        return server
    wsgi_server: Server = request.getfixturevalue("wsgi_server")
    return wsgi_server


@pytest.fixture(scope="session")
def server_key(server: Server) -> str:
    """A live key of a customer of the running server whose calls are not limited by any test."""
    return server.manage("create_key", "owner@example.com", "--live", "--plan", "volume")
