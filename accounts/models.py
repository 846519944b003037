"""Who calls: the person who signs in, the customer who is billed, the keys that call."""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Least
from django.utils import timezone

from accounts import keys
from accounts.keys import Kind


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """In lower case, as sign-in looks for it: no two users differ in capitals only."""
        return super().normalize_email(email).lower()

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make a user; without a password he can sign in only after a reset."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """Someone who signs in, by e-mail."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    def __str__(self) -> str:
        return self.email


class CustomerManager(models.Manager["Customer"]):
    def of(self, user: User) -> "Customer":
        """The customer that the user acts for; made when he is first asked for."""
        return self.get_or_create(user=user)[0]

    def with_email(self, email: str) -> "Customer":
        """The customer with that address; made, with a user who has no password, if needed."""
        user = User.objects.filter(email__iexact=email).first()
        return self.of(user or User.objects.create_user(email))


class Customer(models.Model):
    """Who is billed. Everything that is owned is reached from here."""

    user = models.OneToOneField(User, on_delete=models.PROTECT)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = CustomerManager()

    def __str__(self) -> str:
        return self.user.email

    @property
    def email_is_confirmed(self) -> bool:
        return bool(self.user.emailaddress_set.filter(verified=True).exists())  # type: ignore[attr-defined]


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def active(self) -> "APIKeyQuerySet":
        """Keys that a call with them would get past: neither revoked nor expired."""
        now = timezone.now()
        return self.filter(revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))

    def rotatable(self) -> "APIKeyQuerySet":
        """Active keys without a successor: one with a successor expires as its overlap ends, which
        is nothing that a third key should inherit."""
        return self.active().filter(rotated_at=None)

    def revoke(self) -> int:
        """Make the keys dead at once, for good; count those that were not yet."""
        with transaction.atomic():
            # In the order in which a charge locks keys, so that neither waits for the other.
            keys = self.filter(revoked_at=None).order_by("customer_id", "pk")
            ids = [key.pk for key in keys.select_for_update(no_key=True, of=("self",))]
            revoked: int = APIKey.objects.filter(pk__in=ids).update(revoked_at=timezone.now())
        return revoked


class APIKeyManager(models.Manager.from_queryset(APIKeyQuerySet)):  # type: ignore[misc]
    def issue(
        self, customer: Customer, kind: Kind, name: str, expires_at: datetime | None = None
    ) -> tuple["APIKey", str]:
        """Make a key: its row, and the key itself, which nobody will see again."""
        key = keys.generate(kind)
        peppers = settings.API_KEY_PEPPERS
        row = self.create(
            customer=customer,
            kind=kind,
            name=name,
            prefix=keys.prefix(key),
            last_four=key[-4:],
            digest=peppers.digest(key, peppers.current),
            pepper_version=peppers.current,
            expires_at=expires_at,
        )
        return row, key

    def look_up(self, key: str) -> "APIKey | None":
        """The row of a well-formed key, revoked or not, with its customer: one query.

        A key digested under an old pepper is moved to the current one, so that the old one can
        go when no key is left under it.
        """
        peppers = settings.API_KEY_PEPPERS
        row: APIKey | None = (
            self.filter(digest__in=peppers.digests(key)).select_related("customer").first()
        )
        if row and row.pepper_version != peppers.current:
            row.digest = peppers.digest(key, peppers.current)
            row.pepper_version = peppers.current
            row.save(update_fields=["digest", "pepper_version"])
        return row


class APIKey(models.Model):
    """The trace of a key: enough to recognise it, too little to use it."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=4, choices=[(kind, kind.title()) for kind in Kind])
    prefix = models.CharField(max_length=keys.PREFIX_LENGTH, db_index=True)
    last_four = models.CharField(max_length=4)
    digest = models.BinaryField(unique=True)
    pepper_version = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    rotated_at = models.DateTimeField(
        null=True, blank=True, help_text="since when it only works until its successor is in use"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = APIKeyManager()

    class Meta:
        verbose_name = "API key"
        constraints = [
            models.CheckConstraint(
                name="apikey_kind_is_live_or_test",
                condition=Q(kind__in=[kind.value for kind in Kind]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…{self.last_four}"

    @property
    def livemode(self) -> bool:
        return self.kind == Kind.LIVE

    @property
    def state(self) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked_at:
            return "revoked"
        if self.expires_at and self.expires_at <= timezone.now():
            return "expired"
        return "active"

    def revoke(self) -> None:
        """Dead from the commit on, in every process."""
        APIKey.objects.filter(pk=self.pk).revoke()

    def rotate(self, overlap: timedelta) -> tuple["APIKey", str]:
        """Issue a successor of the same name, kind and expiry; this key dies after `overlap`.

        Without an overlap it is revoked.
        """
        now = timezone.now()
        with transaction.atomic():  # never a successor beside a key that lives on
            issued: tuple[APIKey, str] = APIKey.objects.issue(
                self.customer, Kind(self.kind), self.name, self.expires_at
            )
            if overlap:
                end = Least(F("expires_at"), Value(now + overlap))
                APIKey.objects.filter(pk=self.pk).update(rotated_at=now, expires_at=end)
            else:
                self.revoke()
        return issued
