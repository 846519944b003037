"""Shares and sizes, as the cards of releases show them to people."""

from django import template

register = template.Library()


@register.filter
def percent(share: float, digits: int = 1) -> str:
    return f"{share:.{digits}%}".replace("%", "\N{NO-BREAK SPACE}%")


@register.filter
def kilobytes(size: int) -> str:
    return f"{size / 1000:,.0f}\N{NO-BREAK SPACE}kB"
