"""A bare FastAPI app that answers with LiteRT: no keys, no limits, no log.

`POST /predictions` takes 784 integers in 0..255, dark ink on light paper. `MODEL` names the
exported model.
"""

import os
from typing import Annotated

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from fastapi import Body, FastAPI
from pydantic import BaseModel, Field

interpreter = Interpreter(os.environ["MODEL"], num_threads=1)
classify = interpreter.get_signature_runner()

app = FastAPI()

Pixel = Annotated[int, Field(ge=0, le=255)]
Pixels = Annotated[list[Pixel], Body(min_length=784, max_length=784)]


class Prediction(BaseModel):
    digit: int
    probabilities: list[float]


@app.post("/predictions")
async def predict(pixels: Pixels) -> Prediction:
    # On the event loop: the model takes microseconds, handing it to a thread takes longer.
    image = 1 - np.array(pixels, np.float32).reshape(1, 28, 28, 1) / 255
    (probabilities,) = next(iter(classify(images=image).values()))
    return Prediction(digit=probabilities.argmax(), probabilities=probabilities.tolist())
