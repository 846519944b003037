from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework_api_key.permissions import KeyParser


class KeyThrottle(SimpleRateThrottle):
    """As many calls a key as the rate of that scope says."""

    scope = "key"

    def get_cache_key(self, request: Request, view: object) -> str:
        prefix, _, _ = KeyParser().get(request).partition(".")
        return self.cache_format % {"scope": self.scope, "ident": prefix}
