"""Everything that differs between a laptop and production comes from the environment.

Without `DATABASE_URL` this is a laptop, and `sandbox.environment` fills in what is missing. With
it, every other setting that a business depends on must be there too, or nothing starts.
"""

from pathlib import Path

import django_stubs_ext
import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from accounts.keys import Peppers
from mnistapi import logs

# Lets Django's generic classes be written with their types, as in ModelAdmin[Call].
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()

if not env.str("DATABASE_URL", default=""):
    try:
        from sandbox.environment import fill
    except ImportError as error:
        raise ImproperlyConfigured(
            "DATABASE_URL is not set, and the PostgreSQL for laptops is not installed "
            f"(requirements-dev.txt): {error}"
        ) from error
    fill()

required = [
    "SECRET_KEY",
    "API_KEY_PEPPER",
    "ALLOWED_HOSTS",
    "PUBLIC_URL",
    "EMAIL_URL",
    "STRIPE_SECRET_KEY",
]
missing = [name for name in required if not env.str(name, default="")]
if missing:
    raise ImproperlyConfigured(f"Set {', '.join(missing)} in the environment (docs/operations.md).")


def listed(name: str) -> list[str]:
    """What the variable names, by comma; blanks around one are not part of it, and none is empty:
    anybody could sign with an empty secret.
    """
    return [item for part in env.list(name, default=[]) if (item := part.strip())]


def must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ImproperlyConfigured(f"{otherwise} (docs/operations.md).")


SECRET_KEY = env.str("SECRET_KEY")
API_KEY_PEPPERS = Peppers.parse(env.str("API_KEY_PEPPER"))
ALLOWED_HOSTS = listed("ALLOWED_HOSTS")
PUBLIC_URL = env.str("PUBLIC_URL").rstrip("/")
MODEL_RELEASE = env.str("MODEL_RELEASE", default="")
MODEL_RUNTIME = env.str("MODEL_RUNTIME", default="tensorflow")
CALL_RETENTION_MONTHS = env.int("CALL_RETENTION_MONTHS", default=13)

STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY")
# Of each address that Stripe sends events to; two at a time of one whose secret is being changed.
STRIPE_WEBHOOK_SECRETS = listed("STRIPE_WEBHOOK_SECRET")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="")
STRIPE_LIVEMODE = STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_"))
STRIPE_PAGES = (
    [STRIPE_API_BASE]
    if STRIPE_API_BASE
    else ["https://checkout.stripe.com", "https://billing.stripe.com"]
)
PAYMENT_GRACE_DAYS = env.int("PAYMENT_GRACE_DAYS", default=7)

# Who may read `/metrics`.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

HTTPS = PUBLIC_URL.startswith("https://")
LOCAL = PUBLIC_URL.startswith(("http://127.0.0.1", "http://localhost"))
must(HTTPS or LOCAL, "PUBLIC_URL must begin with https://, or with http://127.0.0.1 on a laptop")
must(len(SECRET_KEY) >= 50, "SECRET_KEY must have 50 characters or more")
must("*" not in ALLOWED_HOSTS, "ALLOWED_HOSTS must name the hosts")
must(not 0 < len(METRICS_TOKEN) < 32, "METRICS_TOKEN must have 32 characters or more")
must(CALL_RETENTION_MONTHS >= 1, "CALL_RETENTION_MONTHS must be 1 or more")
must(PAYMENT_GRACE_DAYS >= 0, "PAYMENT_GRACE_DAYS must be 0 or more")
must(
    STRIPE_LIVEMODE or STRIPE_SECRET_KEY.startswith(("sk_test_", "rk_test_")),
    "STRIPE_SECRET_KEY must be a secret or a restricted key of Stripe",
)
must(env.str("DATABASE_URL").startswith("postgres"), "DATABASE_URL must be one of PostgreSQL")

DEBUG = False

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "mnistapi",
    "accounts",
    "billing",
    "predictions",
]

MIDDLEWARE = [
    "mnistapi.health.Health",
    "mnistapi.metrics.Metrics",
    "mnistapi.request_ids.RequestIds",
    "mnistapi.plain_http.RefuseCalls",
    "mnistapi.api_headers.WithoutThoseForDocuments",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "mnistapi.page_bodies.RefuseLarge",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "mnistapi.urls"
WSGI_APPLICATION = "mnistapi.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "mnistapi" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# A connection is checked before it is used again, so that a restart of the database costs no call.
DATABASES = {"default": {**env.db_url("DATABASE_URL"), "CONN_MAX_AGE": 60}}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Cursors that outlive their transaction do not work behind a pooler (billing.export has its own).
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Sign-in attempts are counted here, so the count must be one for all processes.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "mnistapi_cache",
        # Above this, entries are culled at random, and with them what was counted.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

SESSION_ENGINE = "accounts.sessions"
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_LOGOUT_REDIRECT_URL = "landing"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_PASSWORD_RESET_BY_CODE_TIMEOUT = 15 * 60
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# Beside allauth's own, which are by the client: of e-mails, by the address that they go to.
ACCOUNT_RATE_LIMITS = {"mail": "10/h/key"}
# HTTPS ends at a proxy, which names the client; sign-in attempts are counted by address.
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=1 if HTTPS else 0)
ACCOUNT_DEFAULT_HTTP_PROTOCOL = "https" if HTTPS else "http"

vars().update(env.email_url("EMAIL_URL"))
EMAIL_TIMEOUT = 10  # or a mail server that hangs would hold a page, or the worker, for good
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="mnistapi <no-reply@localhost>")
# Who is told when the books differ.
ADMINS = [(address, address) for address in listed("OPERATOR_EMAIL")]
SERVER_EMAIL, EMAIL_SUBJECT_PREFIX = DEFAULT_FROM_EMAIL, ""

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# Served from where the packages keep them: a deployment has no build step to forget.
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True

DATA_UPLOAD_MAX_MEMORY_SIZE = 2**20  # of a form, or of an event of Stripe's
SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "mnistapi.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        # A button that leads to Stripe's pages is a form of ours that is redirected there.
        "form-action": [SELF, *STRIPE_PAGES],
        "frame-ancestors": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.KeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": [],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "mnistapi.negotiation.AlwaysJSON",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "mnistapi.problems.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "mnistapi",
    "DESCRIPTION": "Handwritten digits, recognised. Send images with your API key in a header.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVERS": [{"url": PUBLIC_URL}],
    "SERVE_AUTHENTICATION": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "",
}

LOGGING = logs.LOGGING
logs.configure()
