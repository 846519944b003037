"""The product with a second of patience where it has a minute: gunicorn loads this in its place."""

from mnistapi import protocol

protocol.PATIENCE_SECONDS = 1

from mnistapi.asgi import application as application  # noqa: E402
