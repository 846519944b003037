"""The convolutional network: two small ones whose answers are averaged.

Each has four convolutions without padding, two poolings and one matrix, and is trained as if it
were alone. They have eleven outputs: a softmax of the ten digits, and by itself the logit of "not a
digit", so that no digit has to outdo that. The network has two faces: the one that is trained, with
batch normalisation, and the one that serves, in which that is folded into kernels and biases. n is
the number of images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.tf import tf

Floats = NDArray[np.float32]

MEMBERS = 2  # of a network that is trained
SIDES = (5, 3, 3, 3)  # of the kernels of a member, each convolution's
CHANNELS = (32, 64, 64, 128)  # out of each convolution
POOLED = (0, 2)  # behind these convolutions
FEATURES = 2 * 2 * CHANNELS[-1]
OUTPUTS = 11
NOT_A_DIGIT = 10
EPSILON = 1e-3  # added to each variance


class TrainableNetwork(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    def __init__(self, seed: int) -> None:
        super().__init__(name="trainable_network")
        random = np.random.default_rng(seed)
        self.members = [TrainableMember(random) for _ in range(MEMBERS)]

    def training_logits(self, images: Any) -> Any:
        """Of a batch [n, 28, 28, 1], by each member: [members, n, 11]."""
        return tf.stack([member.training_logits(images) for member in self.members])


class TrainableMember(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Convolutions without a bias, each followed by batch normalisation and ReLU.

    Multiplies in bfloat16, which takes this processor half the time, and keeps its weights and sums
    in float32.
    """

    MEMORY = 0.99  # of the moving statistics, a step

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__(name="trainable_member")
        self.kernels = [tf.Variable(k, name="kernel") for k in initial_kernels(random)]
        self.gammas = [tf.Variable(tf.ones([c]), name="gamma") for c in CHANNELS]
        self.betas = [tf.Variable(tf.zeros([c]), name="beta") for c in CHANNELS]
        self.means = [tf.Variable(tf.zeros([c]), False, name="mean") for c in CHANNELS]
        self.variances = [tf.Variable(tf.ones([c]), False, name="variance") for c in CHANNELS]
        matrix = random.normal(0, FEATURES**-0.5, [FEATURES, OUTPUTS])
        self.W = tf.Variable(matrix.astype(np.float32), name="W")
        self.b = tf.Variable(tf.zeros([OUTPUTS]), name="b")

    def training_logits(self, images: Any) -> Any:
        """[n, 11] of [n, 28, 28, 1], whose own statistics normalise it and move the kept ones."""
        x = tf.cast(images, tf.bfloat16)
        for layer, kernel in enumerate(self.kernels):
            x = tf.nn.conv2d(x, tf.cast(kernel, tf.bfloat16), strides=1, padding="VALID")
            x, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                x, self.gammas[layer], self.betas[layer], epsilon=EPSILON, is_training=True
            )
            self.means[layer].assign_sub((1 - self.MEMORY) * (self.means[layer] - mean))
            self.variances[layer].assign_sub((1 - self.MEMORY) * (self.variances[layer] - variance))
            x = pooled(tf.nn.relu(x), layer)
        features = tf.cast(tf.reshape(x, [-1, FEATURES]), tf.float32)
        return tf.matmul(features, self.W) + self.b


def initial_kernels(random: np.random.Generator) -> list[Floats]:
    """As He et al. (2015) have them for ReLU: normal, of variance 2 / inputs."""
    inputs = (1, *CHANNELS[:-1])
    shapes = [(s, s, i, o) for s, i, o in zip(SIDES, inputs, CHANNELS, strict=True)]
    return [
        random.normal(0, (2 / np.prod(shape[:3])) ** 0.5, shape).astype(np.float32)
        for shape in shapes
    ]


def pooled(x: Any, layer: int) -> Any:
    return tf.nn.max_pool2d(x, ksize=2, strides=2, padding="VALID") if layer in POOLED else x


class ConvolutionalNetwork(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """What serves."""

    def __init__(self, members: Sequence["Member"]) -> None:
        super().__init__(name="convolutional_network")
        self.members = list(members)

    def logits(self, images: Any) -> Any:
        """[n, 11] of [n, 28, 28, 1]: the mean of the members' logits."""
        return tf.add_n([member.logits(images) for member in self.members]) / len(self.members)

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def probabilities(self, images: Any) -> Any:
        """Of the ten digits; what a row lacks of 1 is the probability that it is none."""
        logits = self.logits(images)
        is_a_digit = tf.sigmoid(-logits[:, NOT_A_DIGIT:])  # [n, 1]
        return tf.nn.softmax(logits[:, :NOT_A_DIGIT]) * is_a_digit  # [n, 10]

    def about(self) -> dict[str, Any]:
        """What a card says of the network."""
        channels = ", ".join(str(bias.shape[0]) for bias in self.members[0].biases)
        return {
            "kind": "cnn",
            "description": f"the mean of {len(self.members)} networks, each of convolutions to "
            f"{channels} channels with two poolings, a softmax of ten digits and a logit of "
            "not-a-digit",
            "parameters": int(sum(np.prod(variable.shape) for variable in self.variables)),
            "rejects": True,
        }


class Member(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Convolutions with a bias, and the matrix."""

    def __init__(
        self, kernels: Sequence[Floats], biases: Sequence[Floats], W: Floats, b: Floats
    ) -> None:
        super().__init__(name="member")
        self.kernels = [tf.Variable(k, trainable=False) for k in kernels]
        self.biases = [tf.Variable(k, trainable=False) for k in biases]
        self.W = tf.Variable(W, trainable=False)  # [2 * 2 * channels, 11]
        self.b = tf.Variable(b, trainable=False)  # [11]

    def logits(self, images: Any) -> Any:
        """[n, 11] of [n, 28, 28, 1]"""
        x = images  # of side 28, then 24, pooled 12, 10, 8, pooled 4, 2
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, strides=1, padding="VALID") + bias)
            x = pooled(x, layer)
        return tf.matmul(tf.reshape(x, [-1, self.W.shape[0]]), self.W) + self.b


def folded(trained: TrainableNetwork) -> ConvolutionalNetwork:
    """The same function of its images, the kept statistics of the training folded in."""
    return ConvolutionalNetwork([folded_member(member) for member in trained.members])


def folded_member(trained: TrainableMember) -> Member:
    kernels, biases = [], []
    for layer, kernel in enumerate(trained.kernels):
        scale = trained.gammas[layer] / tf.sqrt(trained.variances[layer] + EPSILON)
        kernels.append((kernel * scale).numpy())
        biases.append((trained.betas[layer] - trained.means[layer] * scale).numpy())
    return Member(kernels, biases, trained.W.numpy(), trained.b.numpy())
