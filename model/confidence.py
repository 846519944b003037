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
LOST = 0.00005  # of the digits that are recognised, the share that may be taken for none


class Answered(NamedTuple):
    """Digits, and what a network makes of them."""

    logits: Logits
    labels: NDArray[np.uint8]  # [n]


class Scale(NamedTuple):
    temperature: float
    shift: float  # of the eleventh logit, once divided


def fit(held_out: Answered, other_hands: Answered) -> Scale:
    """The temperature under which the labels of digits held out surprise the least among the ten,
    then the greatest shift with which no more than LOST of those recognised fall below 0.5.

    How so few behave is not to be seen in a few thousand digits, and the next digit is of another
    writer: `other_hands` are the same ones many times over, as others might have written them.
    """
    digits = held_out.logits[:, :NOT_A_DIGIT]
    surprises = [surprise(digits / t, held_out.labels) for t in TEMPERATURES]
    temperature = float(TEMPERATURES[np.argmin(surprises)])
    margins = np.sort(-recognised(other_hands)[:, NOT_A_DIGIT] / temperature)
    return Scale(temperature, float(margins[int(LOST * len(margins))]))


def recognised(answered: Answered) -> Logits:
    """Those of the digits whose label is the likeliest of the ten."""
    likeliest = answered.logits[:, :NOT_A_DIGIT].argmax(axis=1)
    right: Logits = answered.logits[likeliest == answered.labels]
    return right


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
