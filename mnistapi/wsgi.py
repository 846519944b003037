"""The web process: gunicorn imports this in each worker, after the fork.

The model is restored here, so that a worker takes calls only with a warm one: what TensorFlow
restores before a fork never answers behind it.
"""

import os
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from model import serving
from predictions import metrics

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnistapi.settings")


class Request(WSGIRequest):
    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        """A type that cannot be read is no type. Django raises, before anything could answer."""
        try:
            super()._set_content_type_params(meta)  # type: ignore[misc]  # not in the stubs
        except ValueError:
            self.content_type, self.content_params = "", {}


class Application(WSGIHandler):
    request_class = Request


django.setup(set_prefix=False)
application = Application()
serving.load(settings.MODEL_RELEASE, settings.MODEL_RUNTIME)
metrics.serves(serving.current().name, settings.MODEL_RUNTIME)
