from django.db import models
from rest_framework_api_key.models import APIKey


class Prediction(models.Model):
    """One row a call: what is counted, and billed from."""

    api_key = models.ForeignKey(APIKey, on_delete=models.PROTECT, related_name="predictions")
    digit = models.PositiveSmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.digit} at {self.created_at}"
