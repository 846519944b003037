from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import KeyParser

from digits import classifier
from digits.models import Prediction
from digits.serializers import ImageSerializer


class PredictionView(APIView):
    def post(self, request: Request) -> Response:
        serializer = ImageSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        probabilities = classifier.probabilities(serializer.validated_data["image"])
        digit = int(probabilities.argmax())
        api_key = APIKey.objects.get_from_key(KeyParser().get(request))
        Prediction.objects.create(api_key=api_key, digit=digit)
        return Response({"digit": digit, "probabilities": probabilities.tolist()})
