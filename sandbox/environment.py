"""What a laptop has instead of an operator: a database, secrets and an address of its own."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from sandbox import postgres

TO_STRIPES_PORT = 4_111  # so that runs on several ports have a Stripe each
DATA = Path(__file__).resolve().parent.parent / ".data"


def fill() -> None:
    """Set every variable of the environment that is needed and missing.

    The secrets are made once and kept: with another pepper no key would work any more.
    """
    DATA.mkdir(mode=0o755, exist_ok=True)
    port = os.environ.setdefault("PORT", "8000")
    os.environ.setdefault("PUBLIC_URL", f"http://127.0.0.1:{port}")
    os.environ.setdefault("ALLOWED_HOSTS", "127.0.0.1,localhost")
    os.environ.setdefault("EMAIL_URL", "consolemail://")
    os.environ.setdefault("SECRET_KEY", kept_secret(DATA / "secret-key"))
    os.environ.setdefault("API_KEY_PEPPER", "1:" + kept_secret(DATA / "api-key-pepper"))
    if not os.environ.get("STRIPE_SECRET_KEY"):
        os.environ["STRIPE_SECRET_KEY"] = "sk_test_of_the_local_stripe"
        stripe_port = int(port) + TO_STRIPES_PORT
        os.environ.setdefault("STRIPE_API_BASE", f"http://127.0.0.1:{stripe_port}")
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = postgres.start(DATA / "postgres")


def kept_secret(file: Path) -> str:
    """The secret in the file, made on first use and readable by its owner alone."""
    if not file.exists():
        with tempfile.NamedTemporaryFile("w", dir=file.parent) as new:
            new.write(secrets.token_hex(32))
            new.flush()
            # A link appears whole or not at all: of two first starts, one makes the secret.
            with suppress(FileExistsError):
                os.link(new.name, file)
    return file.read_text()
