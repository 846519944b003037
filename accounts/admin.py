"""The operator's pages of who calls: users, customers and their keys."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts.filters import CustomerFilter
from accounts.models import APIKey, Customer, User
from accounts.read_only import ReadOnlyAdmin

if TYPE_CHECKING:
    CreationForm = AdminUserCreationForm[User]
    BaseUserAdmin = DjangoUserAdmin[User]
else:
    CreationForm, BaseUserAdmin = AdminUserCreationForm, DjangoUserAdmin

NAMED_IN_CONFIRMATION = 20


SIGN_IN_ALONE = (
    "Whether this person can sign in. Calls with the keys go on, and are billed: suspend the "
    "account as well to end that."
)


class UserCreationForm(CreationForm):
    class Meta:
        model = User
        fields = ("email",)


@admin.register(User)
class UserAdmin(BaseUserAdmin):
    """Django's, for users who have no username."""

    add_form = UserCreationForm
    list_display = ("email", "is_active", "is_staff", "date_joined", "last_login")
    search_fields = ("email",)
    ordering = ("email",)
    show_full_result_count = False
    readonly_fields = ("date_joined", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        (
            "Permissions",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **options: Any
    ) -> Any:
        help_texts = {"is_active": SIGN_IN_ALONE}
        return super().get_form(request, obj, change=change, help_texts=help_texts, **options)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """An address that was replaced signs nobody in any more; the new one is to be confirmed."""
        super().save_model(request, obj, form, change)
        if "email" in form.changed_data:
            obj.emailaddress_set.all().delete()  # type: ignore[attr-defined]


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin[Customer]):
    list_display = ("email", "created_at", "active_keys", "pages")
    list_select_related = ("user",)
    search_fields = ("user__email",)
    search_help_text = "Part of an e-mail address"
    ordering = ("-id",)
    sortable_by = ("created_at",)
    fields = ("user", "created_at", "active_keys", "pages")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        keys = APIKey.objects.active().filter(customer=OuterRef("pk")).order_by()
        count = keys.values("customer").annotate(count=Count("*")).values("count")
        return super().get_queryset(request).annotate(active_key_count=Coalesce(Subquery(count), 0))

    @admin.display(description="e-mail")
    def email(self, customer: Customer) -> str:
        return customer.user.email

    @admin.display(description="active keys")
    def active_keys(self, customer: Customer) -> int:
        count: int = customer.active_key_count  # type: ignore[attr-defined]
        return count

    @admin.display(description="see")
    def pages(self, customer: Customer) -> SafeString:
        """Links to what belongs to the customer."""
        account = reverse("admin:billing_account_change", args=[customer.pk])
        lists = {
            "Keys": "admin:accounts_apikey_changelist",
            "Calls": "admin:predictions_call_changelist",
            "Usage": "admin:billing_usagehour_changelist",
            "Chart": "admin:billing_usagehour_chart",
            "Notices": "admin:billing_notice_changelist",
            "Invoices": "admin:billing_invoice_changelist",
        }
        links = [(f"{reverse(name)}?customer={customer.pk}", text) for text, name in lists.items()]
        return format_html_join(" · ", '<a href="{}">{}</a>', [(account, "Account"), *links])


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.title()) for state in ("active", "revoked", "expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> QuerySet[APIKey]:
        """The same three states as `APIKey.state`."""
        states = {
            "active": Q(pk__in=APIKey.objects.active()),
            "revoked": Q(revoked_at__isnull=False),
            "expired": Q(revoked_at=None, expires_at__lte=timezone.now()),
        }
        return queryset.filter(states.get(self.value() or "", Q()))


@admin.register(APIKey)
class APIKeyAdmin(ReadOnlyAdmin[APIKey]):
    """Keys are issued on the customers' pages and by `create_key`: here they are only revoked."""

    list_display = (
        "__str__", "name", "customer", "kind", "state", "created_at", "last_used_at", "expires_at",
    )  # fmt: skip
    list_select_related = ("customer__user",)
    list_filter = ("kind", StateFilter, CustomerFilter)
    search_fields = ("prefix__startswith", "customer__user__email")
    search_help_text = "The beginning of a key, or part of an e-mail address"
    ordering = ("-id",)
    sortable_by = ("created_at",)
    fields = (
        "__str__", "name", "customer", "kind", "state",
        "created_at", "last_used_at", "expires_at", "revoked_at",
    )  # fmt: skip
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_apikey")

    @admin.action(description="Revoke selected API keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[APIKey]) -> HttpResponse | None:
        """Ask first: there is no way back."""
        keys = queryset.filter(revoked_at=None)
        if "confirmed" not in request.POST:
            return self.confirmation(request, keys)
        revoked = list(keys)
        APIKey.objects.filter(pk__in=[key.pk for key in revoked]).revoke()
        for key in revoked:
            self.log_change(request, key, "Revoked.")
        messages.success(request, f"Keys revoked: {len(revoked)}. No call with them is answered.")
        return None

    def confirmation(self, request: HttpRequest, keys: QuerySet[APIKey]) -> HttpResponse:
        count = keys.count()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Revoke API keys?",
            "count": count,
            "keys": keys[:NAMED_IN_CONFIRMATION],
            "others": max(count - NAMED_IN_CONFIRMATION, 0),
            "selected": request.POST.getlist("_selected_action"),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/accounts/apikey/revoke.html", context)
