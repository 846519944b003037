"""What the OpenAPI document says of the whole API, and the endpoints that give it."""

from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.utils.decorators import method_decorator
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.views import SpectacularSwaggerSplitView

from mnistapi.problems import PROBLEM_TYPES


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.authentication.KeyAuthentication"
    name = ["bearer", "header"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {"type": "http", "scheme": "bearer"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[str]]]:
        return [{"bearer": []}, {"header": []}]


PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details, RFC 9457.",
    "required": ["type", "title", "status", "code", "detail", "request_id", "billed"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "enum": [problem.code for problem in PROBLEM_TYPES]},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "format": "uuid"},
        "billed": {"enum": [False, None], "description": "null: it cannot be known."},
    },
}


def closed(**properties: Any) -> dict[str, Any]:
    """An object that has all of these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }


def problem_responses(*statuses: int) -> dict[tuple[int, str], Any]:
    """The refusals of an endpoint, in the form that `extend_schema` takes."""
    return {(status, "application/problem+json"): PROBLEM for status in statuses}


@method_decorator(csp_update({"style-src": [SELF, UNSAFE_INLINE]}), name="dispatch")
class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI, from the files of this server; it styles its elements one by one."""

    url_name = "openapi"
