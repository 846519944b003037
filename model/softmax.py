"""The network of the blog post: softmax regression, p = softmax(xW + b), 784 x 10, 7,850 numbers.

It has two faces: the graph that trains it, written for TensorFlow 1 as the post wrote it, and the
module that serves it. n is the number of images.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.labels import LABELS
from model.tf import tf

PIXELS, CLASSES = 28 * 28, len(LABELS)


class TrainingGraph(NamedTuple):
    """Handles into the graph: what to feed, what to run, what to save."""

    graph: Any
    x: Any  # [n, 784] float32, 0..1, ink = 1
    y: Any  # [n] int32, 0..9
    descend: Any  # one step of gradient descent on the batch fed
    accuracy: Any  # share of the batch fed that is classified rightly
    initialise: Any
    saver: Any


def training_graph(learning_rate: float) -> TrainingGraph:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, PIXELS], name="x")  # [n, 784]
        y = v1.placeholder(tf.int32, [None], name="y")  # [n]
        W = v1.Variable(tf.zeros([PIXELS, CLASSES]), name="W")  # [784, 10]
        b = v1.Variable(tf.zeros([CLASSES]), name="b")  # [10]
        logits = tf.matmul(x, W) + b  # [n, 10]

        # The post's -sum(y log p), from the logits: no NaN where p underflows to 0.
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)  # [n]
        optimizer = v1.train.GradientDescentOptimizer(learning_rate)
        descend = optimizer.minimize(tf.reduce_mean(losses))

        right = tf.equal(tf.argmax(logits, axis=1, output_type=tf.int32), y)  # [n]
        accuracy = tf.reduce_mean(tf.cast(right, tf.float32))
        # Relative, so that the `checkpoint` file names no folder of the machine that trained.
        saver = v1.train.Saver([W, b], save_relative_paths=True)
        initialise = v1.global_variables_initializer()
        return TrainingGraph(graph, x, y, descend, accuracy, initialise, saver)


class SoftmaxRegression(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    def __init__(self, W: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        super().__init__(name="softmax_regression")
        self.W = tf.Variable(W, trainable=False, dtype=tf.float32)  # [784, 10]
        self.b = tf.Variable(b, trainable=False, dtype=tf.float32)  # [10]

    @tf.function(input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32, name="images")])  # type: ignore[untyped-decorator]
    def probabilities(self, images: Any) -> Any:
        x = tf.reshape(images, [-1, PIXELS])  # [n, 784]
        return tf.nn.softmax(tf.matmul(x, self.W) + self.b)  # [n, 10]

    @staticmethod
    def about() -> dict[str, Any]:
        """What a card says of the network."""
        shapes = f"W {PIXELS} x {CLASSES}, b {CLASSES}"
        return {
            "kind": "softmax",
            "description": f"softmax regression: softmax(xW + b), {shapes}",
            "parameters": PIXELS * CLASSES + CLASSES,
            "rejects": False,
        }
