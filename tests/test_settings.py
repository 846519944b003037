import os
import subprocess
import sys

import pytest
from django.conf import settings

PRODUCTION = {
    "DATABASE_URL": "postgres://user:password@database.example:5432/mnistapi",
    "SECRET_KEY": "Zk3" * 20 + "-production",
    "API_KEY_PEPPER": "1:" + "a1" * 32,
    "ALLOWED_HOSTS": "api.example.com",
    "PUBLIC_URL": "https://api.example.com",
    "EMAIL_URL": "smtp+tls://user:password@mail.example:587",
    "STRIPE_SECRET_KEY": "sk_live_of_the_business",
}


def manage(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    known = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=known | environment,
        capture_output=True,
        text=True,
    )


def test_the_production_settings_pass_the_deployment_check() -> None:
    result = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert result.returncode == 0, result.stderr


def test_what_is_named_by_comma_may_have_blanks() -> None:
    named = {"ALLOWED_HOSTS": "a.example, b.example", "STRIPE_WEBHOOK_SECRET": "new, old, "}
    shown = manage("diffsettings", **PRODUCTION | named).stdout
    assert "ALLOWED_HOSTS = ['a.example', 'b.example']" in shown
    assert "STRIPE_WEBHOOK_SECRETS = ['new', 'old']" in shown


REQUIRED = [
    "SECRET_KEY",
    "API_KEY_PEPPER",
    "ALLOWED_HOSTS",
    "PUBLIC_URL",
    "EMAIL_URL",
    "STRIPE_SECRET_KEY",
]


@pytest.mark.parametrize("name", REQUIRED)
def test_production_does_not_start_without_a_setting_and_says_which(name: str) -> None:
    result = manage("check", **{**PRODUCTION, name: ""})
    assert result.returncode != 0
    assert f"Set {name} in the environment" in result.stderr


def test_all_missing_settings_are_named_at_once() -> None:
    result = manage("check", DATABASE_URL=PRODUCTION["DATABASE_URL"])
    assert f"Set {', '.join(REQUIRED)} in the environment" in result.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUBLIC_URL", "api.example.com"),
        ("PUBLIC_URL", "http://api.example.com"),
        ("API_KEY_PEPPER", "short"),
        ("API_KEY_PEPPER", "40000:" + "a" * 32),
        ("CALL_RETENTION_MONTHS", "x"),
        ("CALL_RETENTION_MONTHS", "0"),
        ("CALL_RETENTION_MONTHS", "-3"),
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", "*"),
        ("DATABASE_URL", "sqlite:///mnistapi.db"),
    ],
)
def test_a_setting_of_another_form_stops_the_start(name: str, value: str) -> None:
    result = manage("check", **{**PRODUCTION, name: value})
    assert result.returncode != 0
    assert name in result.stderr
    assert PRODUCTION["SECRET_KEY"] not in result.stderr
