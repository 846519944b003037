"""The releases of the model, for everybody: `GET /v1/models` and their cards as pages."""

import json
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from model import serving
from model.labels import FIELD, LABELS
from model.serving import Loaded
from predictions import cards, schema
from predictions.cards import Card


# The current release may change; it may be said this much later.
@method_decorator(cache_control(public=True, max_age=60), name="dispatch")
class ModelsView(APIView):
    authentication_classes = []  # whoever wants to buy may look

    @extend_schema(**schema.MODELS)
    def get(self, request: Request) -> Response:
        return Response({"models": descriptions()})


def names(loaded: Loaded) -> list[str]:
    """Of the releases that a call may ask for, the current one first."""
    current = loaded.current.name
    return sorted(loaded.by_name, key=lambda name: (name != current, name))


def descriptions() -> list[dict[str, Any]]:
    loaded = serving.loaded()
    return [described(loaded, name) for name in names(loaded)]


def described(loaded: Loaded, name: str) -> dict[str, Any]:
    card = card_of(loaded, name)
    return {
        "name": name,
        "current": name == loaded.current.name,
        "network": card.get("network", {}).get("description"),
        "labels": LABELS,
        "rejects": card.get("network", {}).get("rejects", False),
        "accuracy": accuracy(card),
        "date": card.get("date"),
        "url": f"{settings.PUBLIC_URL}/models/{name}",
    }


def accuracy(card: Card) -> dict[str, Any] | None:
    measured = card.get("accuracy")
    if measured is None:
        return None
    return {
        "share": measured["share"],
        "interval": measured["interval"],
        "images": measured["total"],
    }


def card_of(loaded: Loaded, name: str) -> Card:
    """What is known of a release that is loaded; nothing, of a folder without a card."""
    (folder,) = (f for f, one in loaded.by_folder.items() if one is loaded.by_name[name])
    try:
        card: Card = json.loads((folder / "card.json").read_text())
    except FileNotFoundError:
        return {}
    return card


@require_safe
def model_list(request: HttpRequest) -> HttpResponse:
    return render(request, "models.html", {"models": descriptions()})


@require_safe
def model_page(request: HttpRequest, name: str) -> HttpResponse:
    """The card of a release. A name is looked for among those loaded: it never becomes a path."""
    loaded = serving.loaded()
    if name not in loaded.by_name:
        raise Http404
    card = card_of(loaded, name)
    context = {
        "name": name,
        "is_current": name == loaded.current.name,
        "card": card,
        "field": FIELD,
        "labels": [*LABELS, cards.REJECTED],
        "confusion": cards.confusion(card),
        "dots": cards.calibration(card),
        "plot": cards.PLOT,
        "rejections": cards.rejections(card),
        "runtimes": cards.runtimes(card),
        "hardest": cards.hardest(card),
        "training": cards.facts(card.get("training", {})),
        "data": cards.facts(card.get("data", {})),
        "versions": cards.facts(card.get("versions", {})),
    }
    return render(request, "model.html", context)
