from django.contrib import admin
from django.urls import path

from digits.views import PredictionView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/predictions/", PredictionView.as_view()),
]
