"""The web process: gunicorn imports this in each worker, after the fork.

The model is restored here, so that a worker takes calls only with a warm one: what TensorFlow
restores before a fork never answers behind it.
"""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from model import serving

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mnistapi.settings")

application = get_wsgi_application()
serving.load(settings.MODEL_RELEASE, settings.MODEL_RUNTIME)
