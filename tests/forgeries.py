"""Books that somebody changes past the product, each for the length of a `with`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox.stripe.store import Json
from tests.installation import Installation

OF_CUSTOMER = """
    customer_id = (SELECT c.id FROM accounts_customer c JOIN accounts_user u ON u.id = c.user_id
                   WHERE u.email = %s)
"""


@contextmanager
def forged_call(installation: Installation, email: str) -> Iterator[None]:
    """The log has the customer's first answered call twice, the second with another id."""
    (row,) = installation.server.rows(
        f"SELECT * FROM predictions_call WHERE units > 0 AND {OF_CUSTOMER} ORDER BY id LIMIT 1",
        email,
    )
    forged = f"{str(row[0])[:24]}f0f0f0f0f0f0"
    installation.server.rows(
        f"INSERT INTO predictions_call VALUES ({', '.join(['%s'] * len(row))})", forged, *row[1:]
    )
    yield
    installation.server.rows(
        "SET LOCAL session_replication_role = replica; "  # it refuses to be changed
        "DELETE FROM predictions_call WHERE id = %s",
        forged,
    )


@contextmanager
def altered_invoice(installation: Installation, email: str) -> Iterator[str]:
    """The customer's only invoice is of a cent more at Stripe; gives its id."""
    store = installation.local.world.store
    with installation.local.world.lock:
        (row,) = (
            one for one in store.all("invoice") if one["customer"] == id_of(installation, email)
        )
        store.put({**row, "total": row["total"] + 1})
    yield str(row["id"])
    with installation.local.world.lock:
        store.put(row)


@contextmanager
def lost_hour(installation: Installation, email: str) -> Iterator[None]:
    """Stripe's meter has lost the last hour that the customer used."""
    store = installation.local.world.store
    with installation.local.world.lock:
        hours = [
            one for one in store.all("usage") if f" {id_of(installation, email)} " in one["id"]
        ]
        last = max(hours, key=begin_of)
        store.delete("usage", last["id"])
    yield
    with installation.local.world.lock:
        store.put(last)


def id_of(installation: Installation, email: str) -> str:
    """The customer's at Stripe."""
    (id,) = (
        one["id"] for one in installation.local.world.store.all("customer") if one["email"] == email
    )
    return str(id)


def begin_of(window: Json) -> int:
    return int(window["id"].split()[-1])
