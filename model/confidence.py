"""Confidence that can be believed, set right behind the training on images that it did not see.

A temperature divides all logits, which changes no answer; a shift of the eleventh says how much
must speak for a digit. Both go into the last layers, so they cost nothing when the release answers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.cnn import NOT_A_DIGIT, OUTPUTS, ConvolutionalNetwork, Member

Logits = NDArray[np.float32]  # [n, 11]

TEMPERATURES = np.geomspace(0.25, 4, 400)
LOST = 0.0002  # of the digits that are recognised, the share that may be taken for none


class Scale(NamedTuple):
    temperature: float
    shift: float  # of the eleventh logit, once divided


def fit(logits: Logits, labels: NDArray[np.uint8]) -> Scale:
    """Of digits: the temperature under which their labels surprise the least among the ten, then
    the greatest shift with which no more than LOST of those recognised fall below 0.5."""
    digits = logits[:, :NOT_A_DIGIT]
    surprises = [surprise(digits / t, labels) for t in TEMPERATURES]
    temperature = float(TEMPERATURES[np.argmin(surprises)])
    recognised = logits[digits.argmax(axis=1) == labels] / temperature
    margins = np.sort(-recognised[:, NOT_A_DIGIT])
    return Scale(temperature, float(margins[int(LOST * len(margins))]))


def surprise(logits: Logits, labels: NDArray[np.uint8]) -> float:
    """Mean -log of the probability of the label."""
    return float((log_sum(logits) - logits[np.arange(len(labels)), labels]).mean())


def log_sum(logits: Logits) -> NDArray[np.float64]:
    """log of the sum of exp over each row."""
    high = logits.max(axis=1)
    return np.asarray(high + np.log(np.exp(logits - high[:, None]).sum(axis=1, dtype=np.float64)))


def scaled(network: ConvolutionalNetwork, scale: Scale) -> ConvolutionalNetwork:
    """The same network, its logits divided and shifted."""
    return ConvolutionalNetwork([scaled_member(member, scale) for member in network.members])


def scaled_member(member: Member, scale: Scale) -> Member:
    shift = np.zeros(OUTPUTS, np.float32)
    shift[NOT_A_DIGIT] = scale.shift
    W, b = (variable.numpy() / scale.temperature for variable in (member.W, member.b))
    kernels, biases = ([v.numpy() for v in part] for part in (member.kernels, member.biases))
    return Member(kernels, biases, W, b + shift)
