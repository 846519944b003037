"""Train the convolutional network, in TensorFlow 2: augmented digits, and images that are none.

A checkpoint after each epoch: the run that is started anew where one was killed ends in the same
weights, for what an epoch draws follows from the seed and the epoch's number alone.
"""

import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from model import checkpoints, confidence, data
from model.augmentation import Floats, augment, restroked
from model.cnn import NOT_A_DIGIT, ConvolutionalNetwork, TrainableNetwork, folded
from model.confidence import Answered
from model.data import Digits
from model.outliers import outliers
from model.parts import AT_ONCE
from model.tf import tf

SEED = 2017
# Of the 60,000, the last ones, to set the confidence right. The images stand in the order of their
# writers, so that nearly all of these have written none of the others.
HELD_OUT = 2_500
HANDS = 20  # in which each of them is looked at, besides its own

Batch = tuple[NDArray[np.float32], NDArray[np.int32]]  # images [n, 28, 28, 1] and labels [n]


class Recipe(NamedTuple):
    epochs: int = 60
    digits: int = 120  # of a batch
    outliers: int = 24
    sharp: float = 0.25  # share of the images that are not warped
    peak: float = 3e-3  # the highest learning rate
    warming: float = 0.1  # share of the steps in which the rate rises to it
    decay: float = 0.05  # of the weights, a step, times the learning rate
    smoothing: float = 0.05  # of the labels
    rejection: float = 0.5  # what it weighs in the loss to take a digit for none
    averaged: float = 0.998  # memory of the averaged weights, a step


class Training(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Everything that changes from step to step, and so what a checkpoint must hold.

    AdamW of Loshchilov and Hutter (2019), and beside it the running average of the weights, which
    is what is served in the end.
    """

    FIRST, SECOND = 0.9, 0.99  # memory of the moments of the gradients

    def __init__(self, recipe: Recipe, seed: int) -> None:
        super().__init__(name="training")
        self.recipe = recipe
        self.network = TrainableNetwork(seed)
        self.weights = self.network.trainable_variables
        self.first = [tf.Variable(tf.zeros_like(w), False) for w in self.weights]
        self.second = [tf.Variable(tf.zeros_like(w), False) for w in self.weights]
        self.average = TrainableNetwork(seed)
        self.epochs = tf.Variable(0, False)
        self.steps = tf.Variable(0.0, False)

    @tf.function  # type: ignore[untyped-decorator]
    def step(self, images: Any, labels: Any, rate: Any) -> Any:
        """One step on a batch at a learning rate; gives the mean loss."""
        with tf.GradientTape() as tape:
            logits = self.network.training_logits(images)  # [members, n, 11]
            loss = tf.reduce_sum(losses(logits, labels, self.recipe)) / len(labels)
        self.steps.assign_add(1)
        gradients = tape.gradient(loss, self.weights)
        for moments in zip(self.weights, gradients, self.first, self.second, strict=True):
            self.descend(*moments, rate)
        for mean, variable in zip(self.average.variables, self.network.variables, strict=True):
            mean.assign_sub((1 - self.memory()) * (mean - variable))
        return loss

    def descend(self, weight: Any, gradient: Any, first: Any, second: Any, rate: Any) -> None:
        first.assign(self.FIRST * first + (1 - self.FIRST) * gradient)
        second.assign(self.SECOND * second + (1 - self.SECOND) * gradient**2)
        mean = first / (1 - self.FIRST**self.steps)
        variance = second / (1 - self.SECOND**self.steps)
        decay = self.recipe.decay if len(weight.shape) > 1 else 0.0  # not of betas, gammas, biases
        weight.assign_sub(rate * (mean / (tf.sqrt(variance) + 1e-8) + decay * weight))

    def memory(self) -> Any:
        """Short at first, so that the average does not begin with the initial weights."""
        return tf.minimum(self.recipe.averaged, (1 + self.steps) / (10 + self.steps))


def losses(logits: Any, labels: Any, recipe: Recipe) -> Any:
    """[members, n]: that a digit is taken for another one, and that a digit and none are mixed up.

    A member learns as if there were no other.
    """
    is_none = labels == NOT_A_DIGIT
    targets = tf.one_hot(labels, NOT_A_DIGIT) * (1 - recipe.smoothing)  # of none, no digit at all
    targets += tf.where(is_none, 0.0, recipe.smoothing / NOT_A_DIGIT)[:, tf.newaxis]
    digits = -tf.reduce_sum(targets * tf.nn.log_softmax(logits[..., :NOT_A_DIGIT]), axis=-1)
    none = tf.broadcast_to(tf.cast(is_none, tf.float32), tf.shape(digits))
    return digits + recipe.rejection * tf.nn.sigmoid_cross_entropy_with_logits(
        none, logits[..., NOT_A_DIGIT]
    )


def make(digits: Digits, folder: Path, recipe: Recipe, seed: int, state: Path) -> dict[str, Any]:
    """Train, set the confidence right on what was held out, and save; gives what a card tells.

    `state` is a folder for the checkpoints of the training, and is gone in the end.
    """
    fitted = digits.part(0, len(digits.labels) - HELD_OUT)
    held_out = digits.part(len(digits.labels) - HELD_OUT, len(digits.labels))
    network = folded(train(fitted, held_out, recipe, seed, state).average)
    accurate = accuracy(network, held_out)
    scale = confidence.fit(answered(network, held_out), by_other_hands(network, held_out, seed))
    checkpoints.save(confidence.scaled(network, scale), folder)
    shutil.rmtree(state)
    return {
        "seed": seed,
        "recipe": recipe._asdict(),
        "fitted_images": len(fitted.labels),
        "held_out_images": len(held_out.labels),
        "held_out_accuracy": accurate,
        **scale._asdict(),
    }


def train(fitted: Digits, held_out: Digits, recipe: Recipe, seed: int, folder: Path) -> Training:
    """Begin, or go on from the checkpoint in the folder, and leave one there after each epoch."""
    tf.config.experimental.enable_op_determinism()
    training = Training(recipe, seed)
    kept = tf.train.CheckpointManager(tf.train.Checkpoint(training), folder, max_to_keep=1)
    kept.restore_or_initialize()
    steps = len(fitted.labels) // recipe.digits  # an epoch
    first = int(training.epochs)
    with tqdm(initial=first * steps, total=recipe.epochs * steps, unit="step") as bar:
        for epoch in range(first, recipe.epochs):
            for images, labels in batches(fitted, recipe, seed, epoch):
                rate = learning_rate(recipe, bar.n / (recipe.epochs * steps))
                training.step(images, labels, tf.constant(rate, tf.float32))
                bar.update()
            training.epochs.assign_add(1)
            kept.save()
            right = accuracy(folded(training.average), held_out)
            bar.write(f"epoch {epoch + 1}: {right:.2%} of those held out", file=sys.stderr)
    return training


def learning_rate(recipe: Recipe, progress: float) -> float:
    """Up in a straight line and down in half a cosine, at a progress of 0 to 1."""
    if progress < recipe.warming:
        return recipe.peak * progress / recipe.warming
    falling = (progress - recipe.warming) / (1 - recipe.warming)
    return recipe.peak * (1 + math.cos(math.pi * falling)) / 2


def batches(digits: Digits, recipe: Recipe, seed: int, epoch: int) -> Iterator[Batch]:
    """One pass over the digits in an order of its own, each batch with fresh outliers at its end.

    Digits that do not fill a batch are left to other epochs.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(digits.labels))
    for start in range(0, len(order) - recipe.digits + 1, recipe.digits):
        chosen = order[start : start + recipe.digits]
        others = outliers(recipe.outliers, digits, random)
        images = np.concatenate([digits.images[chosen], others])
        labels = np.pad(digits.labels[chosen], (0, len(others)), constant_values=NOT_A_DIGIT)
        seen = restroked(warped(images, recipe.sharp, random), random)
        yield seen, labels.astype(np.int32)


def warped(
    images: NDArray[np.uint8], sharp: float, random: np.random.Generator
) -> NDArray[np.float32]:
    """All but a share of the images: warping blurs, and what is asked later is sharp. A network
    that has seen nothing sharp takes digits for none because of that."""
    is_sharp = random.random([len(images), 1, 1, 1]) < sharp
    return np.where(is_sharp, data.scaled(images), augment(images, random))


def answered(network: ConvolutionalNetwork, digits: Digits) -> Answered:
    return Answered(logits(network, data.scaled(digits.images)), digits.labels)


def by_other_hands(network: ConvolutionalNetwork, digits: Digits, seed: int) -> Answered:
    """The digits HANDS times over, each time as other hands and pens would have written them."""
    random = np.random.default_rng([seed, HANDS])
    hands = (restroked(augment(digits.images, random), random) for _ in range(HANDS))
    each = [logits(network, images) for images in hands]
    return Answered(np.concatenate(each), np.tile(digits.labels, HANDS))


def logits(network: ConvolutionalNetwork, images: Floats) -> Floats:
    """[n, 11] of [n, 28, 28, 1]"""
    parts = range(0, len(images), AT_ONCE)
    return np.concatenate(
        [network.logits(images[start : start + AT_ONCE]).numpy() for start in parts]
    )


def accuracy(network: ConvolutionalNetwork, digits: Digits) -> float:
    """The share of digits whose label is the likeliest of the ten."""
    return len(confidence.recognised(answered(network, digits))) / len(digits.labels)
