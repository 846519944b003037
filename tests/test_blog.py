"""`POST /` with a checkpoint that the blog post's code wrote answers what that code answered."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model import serving
from model.tf import tf

v1 = tf.compat.v1
RNG = np.random.default_rng(2017)
IMAGES = RNG.integers(0, 256, (20, 784))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of some training run, as TensorFlow 1's Saver keeps them: the prefix of the files."""
    prefix = str(tmp_path_factory.mktemp("of-2017") / "trained.ckpt")
    with tf.Graph().as_default(), v1.Session() as session:
        W = v1.get_variable("W", initializer=RNG.normal(0, 0.1, (784, 10)).astype(np.float32))
        b = v1.get_variable("b", initializer=RNG.normal(0, 0.1, 10).astype(np.float32))
        session.run(v1.global_variables_initializer())
        v1.train.Saver([W, b]).save(session, prefix)
    return prefix


def answers_of_the_blog_s_code(prefix: str) -> Any:
    """Its graph, its restore and its arithmetic, one image after the other: [20, 10]."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 784])
        W = v1.get_variable("W", [784, 10])
        b = v1.get_variable("b", [10])
        y = tf.nn.softmax(tf.matmul(x, W) + b)
        v1.train.Saver().restore(session, prefix)
        inputs = (255 - IMAGES.astype(np.uint8)) / 255.0
        return np.concatenate([session.run(y, {x: one.reshape(1, 784)}) for one in inputs])


@pytest.fixture
def current_release() -> Iterator[None]:
    """Puts the release back that other tests were answered by."""
    yield
    serving.load("softmax-1")


def test_its_answers_are_given_to_a_millionth(
    checkpoint: str, call: Any, current_release: None
) -> None:
    serving.load(str(Path(checkpoint).parent))
    expected = answers_of_the_blog_s_code(checkpoint)
    answers = [call(image.tolist(), path="/") for image in IMAGES]
    assert {answer.status_code for answer in answers} == {200}
    given = np.array([answer.json() for answer in answers])
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)
    assert len(set(given.argmax(axis=1))) > 1  # the images do not all look the same to it


def test_the_folder_names_the_release_in_the_answer(
    checkpoint: str, call: Any, current_release: None
) -> None:
    folder = Path(checkpoint).parent
    serving.load(str(folder))
    assert call([0] * 784).json()["release"] == folder.name
