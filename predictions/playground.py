"""A page on which a digit is drawn and sent, as any program would send it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from model import serving
from model.labels import FIELD, LABELS
from predictions.catalogue import names


@require_safe
def playground(request: HttpRequest) -> HttpResponse:
    """The key is asked for in the browser, which sends it to the API alone: it could not be filled
    in, as nobody keeps it.
    """
    context = {"releases": names(serving.loaded()), "field": FIELD, "labels": LABELS}
    return render(request, "playground.html", context)
