"""The convolutional network: what it computes, how it is trained, and how it is served."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model import (
    augmentation,
    checkpoints,
    cnn,
    confidence,
    data,
    export,
    litert,
    outliers,
    parts,
    train_cnn,
)
from model.cnn import ConvolutionalNetwork, TrainableNetwork, folded
from model.tf import tf
from model.train_cnn import Recipe, Training

ROOT = Path(__file__).parent.parent
TINY = Recipe(epochs=1, settling=1, digits=20, outliers=4)
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


@pytest.fixture(scope="module")
def few(mnist: data.Mnist) -> data.Digits:
    return mnist.train.part(0, 60)


@pytest.fixture
def network() -> ConvolutionalNetwork:
    """As it might be behind a training: nothing in it is 0 or 1."""
    trainable, random = TrainableNetwork(1), np.random.default_rng(2)
    for part in (trainable.gammas, trainable.betas, trainable.means, trainable.variances):
        for variable in part:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return folded(trainable)


@pytest.fixture
def images() -> Floats:
    return np.random.default_rng(3).random([300, 28, 28, 1], np.float32)


def test_its_folded_form_is_batch_normalisation_with_the_kept_statistics(images: Floats) -> None:
    trainable, random = TrainableNetwork(1), np.random.default_rng(2)
    for part in (trainable.gammas, trainable.betas, trainable.means, trainable.variances):
        for variable in part:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    x = images[:5]
    for layer, kernel in enumerate(trainable.kernels):
        x = tf.nn.conv2d(x, kernel, strides=1, padding="VALID")
        x = tf.nn.batch_normalization(
            x,
            trainable.means[layer],
            trainable.variances[layer],
            trainable.betas[layer],
            trainable.gammas[layer],
            cnn.EPSILON,
        )
        x = cnn.pooled(tf.nn.relu(x), layer)
    logits = tf.reshape(x, [5, -1]) @ trainable.W + trainable.b
    np.testing.assert_allclose(folded(trainable).logits(images[:5]), logits, rtol=1e-3, atol=1e-3)


def test_its_training_form_moves_the_kept_statistics_to_those_of_the_batch(images: Floats) -> None:
    trainable = TrainableNetwork(1)
    assert trainable.training_logits(images[:50]).shape == (50, 11)
    x = tf.nn.conv2d(images[:50], trainable.kernels[0], strides=1, padding="VALID").numpy()
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(trainable.means[0].numpy(), 0.01 * mean, rtol=0.02, atol=1e-4)
    np.testing.assert_allclose(trainable.variances[0].numpy(), 0.99 + 0.01 * variance, rtol=0.01)


def test_a_row_sums_to_the_probability_of_a_digit(
    network: ConvolutionalNetwork, images: Floats
) -> None:
    all_eleven = tf.nn.softmax(network.logits(images[:20])).numpy()
    probabilities = network.probabilities(images[:20]).numpy()
    assert probabilities.shape == (20, 10)
    np.testing.assert_allclose(probabilities, all_eleven[:, :10], atol=1e-6)
    np.testing.assert_allclose(1 - probabilities.sum(axis=1), all_eleven[:, 10], atol=1e-5)


def test_both_runtimes_answer_what_was_saved(
    network: ConvolutionalNetwork, images: Floats, mnist: data.Mnist, tmp_path: Path
) -> None:
    folder = tmp_path / "drawn-1"
    checkpoints.save(confidence.scaled(network, confidence.Scale(30.0, 0.5)), folder)
    assert export.export(folder, mnist.test.part(0, 200)) <= export.TOLERANCE
    tensorflow, exported = checkpoints.restore(str(folder)), litert.restore(str(folder))
    expected = tf.nn.softmax(network.logits(images) / 30 + ([0.0] * 10 + [0.5]))[:, :10]
    for release in (tensorflow, exported):
        assert release.name == "drawn-1"
        np.testing.assert_allclose(release.predict(images), expected, atol=1e-5)
        assert release.predict(images[:0]).shape == (0, 10)


def test_many_images_are_answered_in_parts_of_bounded_size() -> None:
    sizes = []

    def predict(images: Floats) -> Floats:
        sizes.append(len(images))
        return images[:, 0, 0]

    images = np.arange(300, dtype=np.float32).reshape(300, 1, 1, 1) * np.ones([1, 28, 28, 1])
    answers = parts.in_parts(predict, images.astype(np.float32))
    assert sizes == [128, 128, 44]
    assert answers[:, 0].tolist() == list(range(300))


def test_a_checkpoint_that_lacks_a_variable_is_unusable(
    network: ConvolutionalNetwork, tmp_path: Path
) -> None:
    network.biases = network.biases[:-1]
    checkpoints.save(network, tmp_path)
    with pytest.raises(checkpoints.ReleaseUnusable, match="biases/4"):
        checkpoints.restore(str(tmp_path))


# Training


def train(few: data.Digits, folder: Path, seed: int = 1) -> list[Floats]:
    """The averaged weights behind a tiny training, or behind the rest of one."""
    training = train_cnn.train(few.part(0, 40), few.part(40, 60), TINY, seed, folder)
    return [variable.numpy() for variable in training.average.variables]


def same(one: list[Floats], other: list[Floats]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


KILLED = """
import sys, time
from pathlib import Path
from model import data, train_cnn
from tests.test_cnn import TINY, train

whole = train_cnn.batches

def stuck(digits, recipe, seed, epoch):
    # The second epoch never gets behind its first step.
    for step, batch in enumerate(whole(digits, recipe, seed, epoch)):
        if epoch and step:
            print("stuck", flush=True)
            time.sleep(600)
        yield batch

train_cnn.batches = stuck
train(data.load().train.part(0, 60), Path(sys.argv[1]))
"""


def test_a_training_that_was_killed_continues_to_the_same_weights(
    few: data.Digits, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "stuck\n"
        process.kill()
    continued = train(few, tmp_path / "killed")
    assert same(continued, train(few, tmp_path / "whole"))
    assert not same(continued, train(few, tmp_path / "other", seed=2))


def test_a_step_is_adam_with_decoupled_decay(few: data.Digits) -> None:
    training = Training(TINY, 1)
    before = [weight.numpy() for weight in training.weights]
    images, labels = next(train_cnn.batches(few, TINY, 1, 0))
    training.step(images, labels, tf.constant(0.01))
    for weight, old, first in zip(training.weights, before, training.first, strict=True):
        gradient = first.numpy() / (1 - Training.FIRST)  # the first moment, behind one step
        decay = TINY.decay if old.ndim > 1 else 0
        expected = old - 0.01 * (np.sign(gradient) + decay * old)
        clear = np.abs(gradient) > 1e-5  # elsewhere rounding decides
        assert clear.any()
        np.testing.assert_allclose(weight.numpy()[clear], expected[clear], atol=2e-5)


def test_the_average_follows_the_weights_slowly(few: data.Digits) -> None:
    training = Training(TINY, 1)
    before = training.network.W.numpy()
    images, labels = next(train_cnn.batches(few, TINY, 1, 0))
    training.step(images, labels, tf.constant(0.01))
    memory = 2 / 11  # of the first step
    expected = memory * before + (1 - memory) * training.network.W.numpy()
    np.testing.assert_allclose(training.average.W.numpy(), expected, atol=1e-6)


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    rates = [train_cnn.learning_rate(TINY, progress) for progress in (0, 0.05, 0.1, 0.55, 0.999)]
    peak = TINY.peak
    assert rates == pytest.approx([0, peak / 2, peak, peak / 2, 0], abs=1e-7)


def test_it_falls_once_more_while_the_network_settles() -> None:
    recipe = Recipe(epochs=20, settling=4)
    rates = [train_cnn.learning_rate(recipe, progress) for progress in (1, 1.1, 1.2)]
    assert rates == pytest.approx([recipe.settling_peak, recipe.settling_peak / 2, 0])


def test_an_epoch_takes_each_digit_at_most_once_and_ends_each_batch_with_outliers(
    few: data.Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_cnn, "augment", lambda images, random: images)
    batches = list(train_cnn.batches(few, TINY, 1, 0))
    assert [labels[20:].tolist() for _, labels in batches] == [[10] * 4] * 3
    digits = np.concatenate([images[:20] for images, _ in batches])
    labels = np.concatenate([labels[:20] for _, labels in batches])
    taken = {image.tobytes(): label for image, label in zip(digits, labels, strict=True)}
    assert taken == {i.tobytes(): n for i, n in zip(few.images, few.labels, strict=True)}


def test_half_of_the_images_are_sharp_while_the_network_settles(few: data.Digits) -> None:
    sharp = {image.tobytes() for image in data.scaled(few.images)}
    shares = [
        np.mean([x.tobytes() in sharp for images, _ in batches for x in images[:20]])
        for batches in (train_cnn.batches(few, TINY, 1, epoch) for epoch in (0, 1))
    ]
    assert shares[0] == 0
    assert 0.3 < shares[1] < 0.7


# What it is trained on


def test_no_warp_leaves_the_images_as_they_are(
    few: data.Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("ROTATION", "SLANT", "SCALE", "SHIFT", "BEND"):
        monkeypatch.setattr(augmentation, bound, 0)
    warped = augmentation.augment(few.images, np.random.default_rng(1))
    np.testing.assert_allclose(warped, data.scaled(few.images), atol=1e-5)


def test_a_shift_moves_the_image(few: data.Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.mgrid[:28, :28].reshape(1, 2, -1).astype(np.float32) + np.float32([[[2.0], [-1]]])
    moved = augmentation.sampled(few.images[:1], places).reshape(28, 28)
    expected = data.scaled(few.images)[0, ..., 0]
    np.testing.assert_allclose(moved[:-2, 1:], expected[2:, :-1], atol=1e-6)
    assert (moved[-2:] == 0).all()  # paper comes in from outside


def test_each_image_is_warped_by_itself_and_stays_in_its_range(few: data.Digits) -> None:
    same_image = np.repeat(few.images[:1], 20, axis=0)
    warped = augmentation.augment(same_image, np.random.default_rng(1))
    assert warped.shape == (20, 28, 28, 1)
    assert warped.dtype == np.float32
    assert 0 <= warped.min() <= warped.max() <= 1
    assert len({image.tobytes() for image in warped}) == 20
    assert (warped.sum(axis=(1, 2, 3)) > 0.5 * same_image[0].sum() / 255).all()  # still a digit


@pytest.mark.parametrize("source", outliers.SOURCES, ids=lambda source: source.__name__)
def test_an_outlier_is_an_image_that_follows_from_its_seed(
    source: outliers.Source, few: data.Digits
) -> None:
    once, twice = ([source(few, r) for _ in range(5)] for r in map(np.random.default_rng, [1, 1]))
    for image, again in zip(once, twice, strict=True):
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, again)
    assert len({image.tobytes() for image in once}) > 1


def test_the_shares_of_the_outliers_are_all_of_them() -> None:
    assert sum(outliers.SOURCES.values()) == pytest.approx(1)


def test_a_drawing_is_brought_to_the_form_of_mnist() -> None:
    page = np.zeros([90, 60], np.uint8)
    page[5:65, 40:50] = 200  # 60 high, 10 wide, in a corner
    form = outliers.mnist_form(page)
    ys, xs = np.nonzero(form)
    assert (ys.max() - ys.min() + 1, xs.max() - xs.min() + 1) == (20, 3)
    assert form.max() >= 254
    assert abs(ys.mean() - 13.5) <= 0.5
    assert abs(xs.mean() - 13.5) <= 0.5
    assert not outliers.mnist_form(np.zeros([9, 9], np.uint8)).any()


# Confidence


def drawn(logits: Floats, random: np.random.Generator) -> NDArray[np.uint8]:
    """A label for each row, by its softmax over the ten digits."""
    digits = logits[:, : cnn.NOT_A_DIGIT]
    return (digits + random.gumbel(size=digits.shape)).argmax(axis=1).astype(np.uint8)


def test_the_temperature_is_found_that_makes_confidence_true() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, [5_000, 11]).astype(np.float32)
    scale = confidence.fit(logits * 2.5, drawn(logits, random))
    assert scale.temperature == pytest.approx(2.5, rel=0.08)


def test_the_shift_loses_few_of_the_digits_and_rejects_all_it_can() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 10, 10_000).astype(np.uint8)
    logits = random.normal(0, 1, [10_000, 11]).astype(np.float32)
    logits[np.arange(10_000), labels] += 9
    logits[:, 10] += 6  # many would be rejected as it is
    scale = confidence.fit(logits, labels)
    recognised = logits[:, :10].argmax(axis=1) == labels
    lost = [
        int((recognised & is_rejected(logits, scale.temperature, shift)).sum())
        for shift in (scale.shift, scale.shift + 0.5)
    ]
    assert lost[0] <= confidence.LOST * 10_000 < lost[1]


def is_rejected(logits: Floats, temperature: float, shift: float) -> NDArray[np.bool_]:
    scaled = logits / temperature
    scaled[:, 10] += shift
    return np.asarray(tf.nn.softmax(scaled)[:, 10] > 0.5)
