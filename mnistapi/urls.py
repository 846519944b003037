"""The table of contents. Answered before it are `/livez` and `/readyz`, by `mnistapi.health`, and
`/metrics`, by `mnistapi.metrics`.
"""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularJSONAPIView

from accounts import views as accounts
from billing import payment_views
from billing.statement import calls_of_month
from billing.views import AccountView, UsageView, billing_page, usage_page
from billing.webhooks import stripe_webhook
from mnistapi import documents
from mnistapi.openapi import DocsView
from predictions.catalogue import ModelsView, model_list, model_page
from predictions.playground import playground
from predictions.views import BlogView, PredictionsView

blog = BlogView.as_view()
api = [
    path("", blog),
    path("v1/predictions", PredictionsView.as_view()),
    path("v1/account", AccountView.as_view()),
    path("v1/usage", UsageView.as_view()),
    path("v1/models", ModelsView.as_view()),
]


@csrf_exempt  # as every call of the API: it is made with a key, never with a cookie
def root(request: HttpRequest) -> HttpResponse:
    """`POST /` is the blog post's API, `GET /` the front page."""
    return accounts.landing(request) if request.method in ("GET", "HEAD") else blog(request)


admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", root, name="landing"),
    *api,
    # its documents
    path("openapi.json", SpectacularJSONAPIView.as_view(patterns=api), name="openapi"),
    path("docs/", DocsView.as_view(), name="docs"),
    path("docs/errors/", documents.document, {"name": "errors"}, name="docs-errors"),
    path(
        "docs/preprocessing/",
        documents.document,
        {"name": "preprocessing"},
        name="docs-preprocessing",
    ),
    # the cards of the model
    path("models/", model_list, name="models"),
    path("models/<name>", model_page, name="model"),
    # to try it
    path("playground/", playground, name="playground"),
    # a customer's pages
    path("accounts/signup/", accounts.SignUp.as_view()),
    path("accounts/confirm-email/", accounts.ConfirmEmail.as_view()),
    path("accounts/", include("allauth.urls")),
    path("dashboard/", accounts.dashboard, name="dashboard"),
    path("dashboard/keys/", accounts.key_list, name="keys"),
    path("dashboard/keys/new/", accounts.create_key, name="create-key"),
    path("dashboard/keys/<int:pk>/rotate/", accounts.rotate_key, name="rotate-key"),
    path("dashboard/keys/<int:pk>/revoke/", accounts.revoke_key, name="revoke-key"),
    path("dashboard/usage/", usage_page, name="usage"),
    path("dashboard/billing/", billing_page, name="billing"),
    path("dashboard/billing/calls/<period>.csv", calls_of_month, name="calls-of-month"),
    path("dashboard/billing/card/", payment_views.add_card, name="add-card"),
    path("dashboard/billing/portal/", payment_views.portal, name="portal"),
    # Stripe's
    path("webhooks/stripe", stripe_webhook, name="stripe-webhook"),
    # the operator's
    path("admin/", admin.site.urls),
]

handler400 = "mnistapi.errors.bad_request"
handler403 = "mnistapi.errors.forbidden"
handler404 = "mnistapi.errors.not_found"
handler500 = "mnistapi.errors.server_error"
