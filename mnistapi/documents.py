"""The documents of docs/ that customers read, as pages."""

from functools import cache
from pathlib import Path

import markdown
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString, mark_safe

FOLDER = Path(__file__).resolve().parent.parent / "docs"


def document(request: HttpRequest, name: str) -> HttpResponse:
    return render(request, "document.html", {"name": name, "body": rendered(name)})


@cache
def rendered(name: str) -> SafeString:
    """The HTML of a document of ours; each heading has an anchor that addresses can point to."""
    text = (FOLDER / f"{name}.md").read_text()
    return mark_safe(markdown.markdown(text, extensions=["toc", "fenced_code", "tables"]))
