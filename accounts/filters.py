"""Filters of the admin that take what is typed: a list of all customers would have no end."""

from collections.abc import Iterator
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from accounts.models import APIKey, Customer

M = TypeVar("M", bound=Model)


def customer_named(text: str) -> Customer | None:
    """The customer with this e-mail address or number."""
    match = Q(pk=int(text)) if is_number(text) else Q(user__email__iexact=text)
    return Customer.objects.select_related("user").filter(match).first()


def key_named(text: str) -> APIKey | None:
    """The key with this number, or that begins so (as the lists show it); the newest of several."""
    match = Q(pk=int(text)) if is_number(text) else Q(prefix=text.partition("…")[0])
    key: APIKey | None = APIKey.objects.filter(match).order_by("-pk").first()
    return key


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class TypedFilter(admin.SimpleListFilter):
    """A filter by what a person types. What means nothing finds nothing, and says so."""

    template = "admin/typed_filter.html"
    input_type = "search"
    placeholder = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """What the form in the template needs: itself, and the other parameters to keep."""
        kept = {
            name: values
            for name, values in changelist.filter_params.items()
            if name not in (self.parameter_name, PAGE_VAR)
        }
        yield {
            "value": self.value() or "",
            "kept": [(name, value) for name, values in kept.items() for value in values],
            "without": changelist.get_query_string(remove=[str(self.parameter_name), PAGE_VAR]),
        }

    def queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> QuerySet[M]:
        text = (self.value() or "").replace("\0", "�").strip()  # Postgres refuses NUL
        if not text:
            return queryset
        fields = self.fields(text)
        if fields is None:
            messages.warning(request, f"There is no {self.title} “{text}”.")
            return queryset.none()
        return self.narrow(queryset, fields)

    def fields(self, text: str) -> dict[str, Any] | None:
        """The look-ups that the text stands for; None if it stands for nothing."""
        raise NotImplementedError

    def narrow(self, queryset: QuerySet[M], fields: dict[str, Any]) -> QuerySet[M]:
        return queryset.filter(**fields)


class CustomerFilter(TypedFilter):
    title = "customer"
    parameter_name = "customer"
    placeholder = "E-mail or number"

    def fields(self, text: str) -> dict[str, Any] | None:
        customer = customer_named(text)
        return {"customer_id": customer.pk} if customer else None


class KeyFilter(TypedFilter):
    title = "API key"
    parameter_name = "key"
    placeholder = "Beginning or number"

    def fields(self, text: str) -> dict[str, Any] | None:
        """With the customer, whose name the indexes begin with."""
        key = key_named(text)
        return {"customer_id": key.customer_id, "key_id": key.pk} if key else None
