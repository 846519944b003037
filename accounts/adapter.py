"""What django-allauth is told of this product. A client writes the host of its request as it likes,
and a port with it: neither limits nor e-mails go by that.
"""

from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as asked
from allauth.core import ratelimit
from django.conf import settings
from django.core.mail import EmailMessage
from django.http import HttpRequest

log = structlog.get_logger()


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Only so many to an address, from wherever they are asked for: it may be anybody's."""
        if not ratelimit.consume(asked.request, action="mail", key=email.lower()):
            log.warning("email_withheld", template=template_prefix)
            return
        super().send_mail(template_prefix, email, context)

    def render_mail(
        self, template_prefix: str, email: str, context: dict[str, Any], headers: Any = None
    ) -> EmailMessage:
        public = {**context, "public_url": settings.PUBLIC_URL}
        mail: EmailMessage = super().render_mail(template_prefix, email, public, headers)
        return mail

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Of an account, wherever its password is tried."""
        return str(credentials.get("email", "")).lower()
