"""The web process: gunicorn imports this in each worker, after the fork.

Calls are answered by the door, everything else by Django.
"""

from mnistapi.django_bridge import bridge
from mnistapi.wsgi import application as django
from predictions.door import Door

application = Door(bridge(django))
