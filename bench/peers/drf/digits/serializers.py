from rest_framework import serializers


class ImageSerializer(serializers.Serializer):
    """28 x 28 pixels, dark ink on light paper."""

    image = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=255), min_length=784, max_length=784
    )
