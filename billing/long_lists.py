"""Lists of the admin that stay quick however long they get: never counted or sorted whole."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.functional import cached_property

from accounts.read_only import ReadOnlyAdmin
from billing import export
from billing.columns import EMPTY, Column

M = TypeVar("M", bound=Model)

PAGES_AHEAD = 10
PAGES_AT_MOST = 100


class PagesAhead(Paginator[Any]):
    """Counts no further than some pages ahead, because each page costs the rows before it."""

    object_list: QuerySet[Any]
    page_asked_for = 1

    @property
    def reach(self) -> int:
        return self.per_page * min(self.page_asked_for + PAGES_AHEAD, PAGES_AT_MOST)

    @cached_property
    def count(self) -> int:
        """How many rows there are, or `reach` if there are more."""
        return self.object_list[: self.reach].count()

    @property
    def is_cut(self) -> bool:
        return self.count == self.reach


class FixedOrderList(ChangeList):
    """A list in the order of its admin; Django would sort by any column that the URL names."""

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[Any]:
        return list(self.model_admin.ordering or ())


class LongListAdmin(ReadOnlyAdmin[M]):
    """A list with its export, both of what the filters leave.

    `page_columns` is what the page of a row shows, unless that is what the list shows of it.
    """

    change_list_template = "admin/long_list.html"
    actions = None
    sortable_by = ()
    empty_value_display = EMPTY
    export_columns: dict[str, str]
    page_columns: Sequence[str | Column] = ()

    def get_fields(self, request: HttpRequest, obj: M | None = None) -> Any:
        return self.page_columns or self.list_display

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FixedOrderList

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what a filter takes out of the URL: Django would look up any other field as well."""
        return lookup in [getattr(spec, "parameter_name", None) for spec in self.list_filter]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            **(extra_context or {}),
            "export_name": f"admin:{self.view_name('export')}",
        }
        return super().changelist_view(request, context)

    def get_paginator(self, request: HttpRequest, *args: Any, **kwargs: Any) -> PagesAhead:
        paginator = PagesAhead(*args, **kwargs)
        with suppress(ValueError):  # then it is the first page, for Django as well
            paginator.page_asked_for = max(int(request.GET.get(PAGE_VAR, 1)), 1)
        return paginator

    def view_name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export)
        return [path("export/", view, name=self.view_name("export")), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """The rows that the list with the same parameters shows, on all its pages and beyond."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).queryset
        except IncorrectLookupParameters as error:
            raise BadRequest("These filters cannot be read.") from error
        name = str(self.opts.verbose_name_plural).replace(" ", "-")
        return export.response(name, rows, self.export_columns)
