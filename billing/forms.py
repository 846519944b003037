"""What a customer can set of his account, and what an operator can."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms

from billing.models import Account

if TYPE_CHECKING:
    AccountModelForm = forms.ModelForm[Account]
else:
    AccountModelForm = forms.ModelForm

CENTS_PER_DOLLAR = 100
MAX_SPEND_LIMIT = 100_000  # dollars


def in_dollars(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


class SpendLimitField(forms.DecimalField):
    """An amount of dollars, to the cent, 0 allowed; gives the cents."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            label="Spend limit, in US dollars a month",
            min_value=0,
            max_value=MAX_SPEND_LIMIT,
            decimal_places=2,
            **kwargs,
        )

    def clean(self, value: Any) -> int:
        return int(super().clean(value) * CENTS_PER_DOLLAR)


class SpendLimitForm(forms.Form):
    """`cleaned_data`: spend_limit, in cents."""

    spend_limit = SpendLimitField()


class AccountForm(AccountModelForm):
    """The operator's; `cleaned_data`: plan, status, spend_limit in cents."""

    spend_limit = SpendLimitField()

    class Meta:
        model = Account
        fields = ("plan", "status")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["spend_limit"] = in_dollars(self.instance.spend_limit_cents)
        # What the customer or another operator changes meanwhile is not taken for a change of his.
        for field in self.fields.values():
            field.show_hidden_initial = True

    @property
    def changes(self) -> dict[str, Any]:
        """The fields of the account that the form changes, with their new values."""
        names = {"plan": "plan", "status": "status", "spend_limit": "spend_limit_cents"}
        return {names[name]: self.cleaned_data[name] for name in self.changed_data}
