"""What a newcomer is asked, and what a customer can ask of his keys."""

from datetime import timedelta

from allauth.account.forms import SignupForm
from django import forms
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest, HttpResponse

from accounts.keys import Kind
from accounts.models import User

LIFETIMES = {"": None, "30": timedelta(days=30), "90": timedelta(days=90), "365": timedelta(365)}
OVERLAPS = {
    "0": timedelta(0),
    "1": timedelta(hours=1),
    "24": timedelta(hours=24),
    "168": timedelta(hours=168),
}


class SignUpForm(SignupForm):  # type: ignore[misc]
    """An address that has an account is answered like a new one, in the same time."""

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        if self.account_already_exists:
            # A new account takes most of its time to hash the password.
            make_password(self.cleaned_data["password1"])
        saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        return saved


class NewKeyForm(forms.Form):
    """`cleaned_data`: name, kind (Kind), lifetime (timedelta or None)."""

    name = forms.CharField(max_length=60, help_text="Where it is used, such as “shop, staging”.")
    kind = forms.ChoiceField(
        choices=[(Kind.TEST, "Test: never billed"), (Kind.LIVE, "Live: for real use")]
    )
    lifetime = forms.ChoiceField(
        label="Expires",
        required=False,
        choices=[("", "never"), ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year")],
    )

    def __init__(self, *args: object, live_allowed: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.live_allowed = live_allowed

    def clean_kind(self) -> Kind:
        kind = Kind(self.cleaned_data["kind"])
        if kind == Kind.LIVE and not self.live_allowed:
            raise forms.ValidationError("Confirm your e-mail address first.")
        return kind

    def clean_lifetime(self) -> timedelta | None:
        return LIFETIMES[self.cleaned_data["lifetime"]]


class RotateForm(forms.Form):
    """`cleaned_data`: overlap (timedelta), for which the old key still works."""

    overlap = forms.ChoiceField(
        label="The old key works for",
        choices=[
            ("0", "not a moment longer"),
            ("1", "another hour"),
            ("24", "another day"),
            ("168", "another week"),
        ],
    )

    def clean_overlap(self) -> timedelta:
        return OVERLAPS[self.cleaned_data["overlap"]]
