"""The web process: gunicorn imports this in each worker, after the fork.

The releases are restored here, so that a worker takes calls only with warm ones: what TensorFlow
restores before a fork never answers behind it.
"""

import os
from typing import Any

import django
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest

from mnistapi import releases

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
releases.begin()
