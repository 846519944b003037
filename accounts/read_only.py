"""Pages of the admin on which nothing can be added, changed or deleted."""

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin
else:

    class ModelAdmin(admin.ModelAdmin):
        """Django's, which takes the model that it is for as a parameter only in its stubs."""

        def __class_getitem__(cls, model: Any) -> type:
            return cls


class ReadOnlyAdmin(ModelAdmin[M]):
    """Rows that staff with the `view` permission may look at, and nobody may write here."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        return False
