"""What django-allauth is told of this product. A client writes the host of its request as it likes,
and a port with it: neither limits nor e-mails go by that.
"""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def render_mail(
        self, template_prefix: str, email: str, context: dict[str, Any], headers: Any = None
    ) -> EmailMessage:
        public = {**context, "public_url": settings.PUBLIC_URL}
        mail: EmailMessage = super().render_mail(template_prefix, email, public, headers)
        return mail

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Of an account, wherever its password is tried."""
        return str(credentials.get("email", "")).lower()
