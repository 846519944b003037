"""A local Stripe: what the product uses of Stripe's API, over HTTP, for a laptop and the tests.

It keeps the rules that cost money when they are forgotten, and answers 501 to everything that it
does not know. No money moves, and no card is asked for. Read `routes.py` first.
"""

API_VERSION = "2026-10-28.endive"
