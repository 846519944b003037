"""Which hours the operator's chart draws."""

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from accounts.filters import customer_named, key_named
from accounts.models import APIKey, Customer
from billing.filters import NO_RELEASE, releases
from billing.models import UsageHour
from billing.usage import Day, by_day

PERIODS = {7: "Last 7 days", 30: "Last 30 days", 90: "Last 90 days"}


def typed(placeholder: str) -> forms.TextInput:
    return forms.TextInput(attrs={"placeholder": placeholder})


class ChartForm(forms.Form):
    """Which hours to draw: all of the last 30 days, unless it says otherwise."""

    period = forms.TypedChoiceField(choices=PERIODS.items(), coerce=int)
    customer = forms.CharField(required=False, widget=typed("E-mail or number"))
    key = forms.CharField(required=False, label="API key", widget=typed("Beginning or number"))
    release = forms.ChoiceField(required=False)

    def __init__(self, data: Any) -> None:
        super().__init__({"period": 30, **data.dict()})
        names = [(name, name) for name in releases()]
        choices = [("", "Any"), *names, (NO_RELEASE, "None (not answered)")]
        self.fields["release"].choices = choices  # type: ignore[attr-defined]

    def clean_customer(self) -> Customer | None:
        text = self.cleaned_data["customer"]
        customer = customer_named(text) if text else None
        if text and not customer:
            raise forms.ValidationError("There is no customer with this e-mail or number.")
        return customer

    def clean_key(self) -> APIKey | None:
        text = self.cleaned_data["key"]
        key = key_named(text) if text else None
        if text and not key:
            raise forms.ValidationError("There is no key that begins so.")
        return key

    def hours(self) -> QuerySet[UsageHour]:
        hours = UsageHour.objects.all()
        if customer := self.cleaned_data["customer"]:
            hours = hours.filter(customer=customer)
        if key := self.cleaned_data["key"]:
            hours = hours.filter(customer_id=key.customer_id, key=key)
        if release := self.cleaned_data["release"]:
            hours = hours.filter(release="" if release == NO_RELEASE else release)
        return hours

    def days(self) -> list[Day]:
        end = timezone.now().date() + timedelta(days=1)
        return by_day(self.hours(), end - timedelta(days=self.cleaned_data["period"]), end)
