"""The convolutional network: what it computes, how it is trained, and how it is served."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

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
from model.cnn import ConvolutionalNetwork, TrainableMember, TrainableNetwork, folded
from model.confidence import Answered
from model.tf import tf
from model.train_cnn import Recipe, Training

ROOT = Path(__file__).parent.parent
TINY = Recipe(epochs=2, digits=20, outliers=4)
Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


@pytest.fixture(scope="module")
def few(mnist: data.Mnist) -> data.Digits:
    return mnist.train.part(0, 60)


@pytest.fixture
def trainable() -> TrainableNetwork:
    """As it might be behind a training: nothing in it is 0 or 1."""
    trainable, random = TrainableNetwork(1), np.random.default_rng(2)
    for member in trainable.members:
        for part in (member.gammas, member.betas, member.means, member.variances):
            for variable in part:
                variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return trainable


@pytest.fixture
def network(trainable: TrainableNetwork) -> ConvolutionalNetwork:
    return folded(trainable)


@pytest.fixture
def images() -> Floats:
    return np.random.default_rng(3).random([300, 28, 28, 1], np.float32)


def normalised_logits(member: TrainableMember, x: Floats) -> Floats:
    """By batch normalisation with the kept statistics, as TensorFlow has it."""
    n = len(x)
    for layer, kernel in enumerate(member.kernels):
        x = tf.nn.conv2d(x, kernel, strides=1, padding="VALID")
        statistics = member.means[layer], member.variances[layer]
        learnt = member.betas[layer], member.gammas[layer]
        x = tf.nn.batch_normalization(x, *statistics, *learnt, cnn.EPSILON)
        x = cnn.pooled(tf.nn.relu(x), layer)
    return (tf.reshape(x, [n, -1]) @ member.W + member.b).numpy()


def test_its_folded_form_is_the_mean_of_members_with_the_kept_statistics(
    trainable: TrainableNetwork, images: Floats
) -> None:
    few = images[:5]
    each = [normalised_logits(member, few) for member in trainable.members]
    np.testing.assert_allclose(
        folded(trainable).logits(few), np.mean(each, axis=0), rtol=1e-3, atol=1e-3
    )


def test_its_members_begin_apart() -> None:
    kernels = [member.kernels[0].numpy() for member in TrainableNetwork(1).members]
    assert len({kernel.tobytes() for kernel in kernels}) == cnn.MEMBERS


def test_its_training_form_moves_the_kept_statistics_to_those_of_the_batch(images: Floats) -> None:
    trainable = TrainableNetwork(1)
    assert trainable.training_logits(images[:50]).shape == (cnn.MEMBERS, 50, 11)
    for member in trainable.members:
        x = tf.nn.conv2d(images[:50], member.kernels[0], strides=1, padding="VALID").numpy()
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        np.testing.assert_allclose(member.means[0].numpy(), 0.01 * mean, rtol=0.02, atol=1e-4)
        np.testing.assert_allclose(member.variances[0].numpy(), 0.99 + 0.01 * variance, rtol=0.01)


def test_a_row_sums_to_the_probability_of_a_digit(
    network: ConvolutionalNetwork, images: Floats
) -> None:
    logits = network.logits(images[:20]).numpy()
    probabilities = network.probabilities(images[:20]).numpy()
    assert probabilities.shape == (20, 10)
    np.testing.assert_allclose(probabilities, expected(logits), atol=1e-6)
    is_none = 1 / (1 + np.exp(-logits[:, 10]))
    np.testing.assert_allclose(1 - probabilities.sum(axis=1), is_none, atol=1e-5)


def expected(logits: Floats) -> Floats:
    """[n, 10]: a softmax of the digits, times the probability that it is one."""
    digits = np.exp(logits[:, :10] - logits[:, :10].max(axis=1, keepdims=True))
    return digits / digits.sum(axis=1, keepdims=True) / (1 + np.exp(logits[:, 10:]))


def test_both_runtimes_answer_what_was_saved(
    network: ConvolutionalNetwork, images: Floats, mnist: data.Mnist, tmp_path: Path
) -> None:
    folder = tmp_path / "drawn-1"
    checkpoints.save(confidence.scaled(network, confidence.Scale(30.0, 0.5)), folder)
    assert export.export(folder, mnist.test.part(0, 200)) <= export.TOLERANCE
    tensorflow, exported = checkpoints.restore(str(folder)), litert.restore(str(folder))
    right = expected(network.logits(images).numpy() / 30 + np.array([0.0] * 10 + [0.5]))
    for release in (tensorflow, exported):
        assert release.name == "drawn-1"
        np.testing.assert_allclose(release.predict(images), right, atol=1e-5)
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
    network.members[1].biases = network.members[1].biases[:-1]
    checkpoints.save(network, tmp_path)
    with pytest.raises(checkpoints.ReleaseUnusable, match="members/1/biases/3"):
        checkpoints.restore(str(tmp_path))


def test_kernels_that_belong_to_no_member_are_unusable(tmp_path: Path) -> None:
    checkpoint = tf.train.Checkpoint(kernel=tf.Variable(tf.zeros([3, 3, 1, 1])))
    checkpoint.write(str(tmp_path / "trained.ckpt"))
    with pytest.raises(checkpoints.ReleaseUnusable, match="members/0 was expected"):
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
    weight, mean = training.network.members[0].W, training.average.members[0].W
    before = weight.numpy()
    images, labels = next(train_cnn.batches(few, TINY, 1, 0))
    training.step(images, labels, tf.constant(0.01))
    memory = 2 / 11  # of the first step
    np.testing.assert_allclose(
        mean.numpy(), memory * before + (1 - memory) * weight.numpy(), atol=1e-6
    )


def test_the_loss_asks_for_the_digit_only_of_digits_and_smooths_it() -> None:
    logits = np.random.default_rng(1).normal(0, 2, [3, 4, 11]).astype(np.float32)
    labels = np.array([3, 10, 0, 10], np.int32)
    got = train_cnn.losses(logits, labels, TINY).numpy()
    is_digit = 1 / (1 + np.exp(logits[..., 10]))
    log_digits = np.log(expected(logits.reshape(12, 11)).reshape(3, 4, 10) / is_digit[..., None])
    smooth = TINY.smoothing
    for image, label in enumerate(labels):
        none = -np.log(is_digit[:, image] if label < 10 else 1 - is_digit[:, image])
        digit = np.zeros(3)
        if label < 10:
            digit -= (1 - smooth) * log_digits[:, image, label]
            digit -= smooth * log_digits[:, image].mean(axis=1)
        np.testing.assert_allclose(got[:, image], digit + TINY.rejection * none, rtol=1e-4)


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    rates = [train_cnn.learning_rate(TINY, progress) for progress in (0, 0.05, 0.1, 0.55, 0.999)]
    peak = TINY.peak
    assert rates == pytest.approx([0, peak / 2, peak, peak / 2, 0], abs=1e-7)


def test_an_epoch_takes_each_digit_at_most_once_and_ends_each_batch_with_outliers(
    few: data.Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "STROKE", 0)
    batches = list(train_cnn.batches(few, TINY._replace(sharp=1.0), 1, 0))
    assert [labels[20:].tolist() for _, labels in batches] == [[10] * 4] * 3
    digits = np.concatenate([images[:20] for images, _ in batches])
    labels = np.concatenate([labels[:20] for _, labels in batches])
    taken = {image.tobytes(): label for image, label in zip(digits, labels, strict=True)}
    sharp = data.scaled(few.images)
    assert taken == {i.tobytes(): n for i, n in zip(sharp, few.labels, strict=True)}


def test_a_quarter_of_the_images_stays_sharp(few: data.Digits) -> None:
    images = np.concatenate([few.images] * 20)
    warped = train_cnn.warped(images, 0.25, np.random.default_rng(1))
    is_sharp = (warped == data.scaled(images)).all(axis=(1, 2, 3))
    assert 0.2 < is_sharp.mean() < 0.3


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
    white = np.full([1, 28, 28], 255, np.uint8)
    moved = augmentation.sampled(white, places).reshape(28, 28)
    assert (moved[-2:] == 0).all()  # paper comes in from outside


@pytest.mark.parametrize("axis", [0, 1])
def test_a_place_between_two_pixels_has_their_mean(few: data.Digits, axis: int) -> None:
    places = np.mgrid[:28, :28].reshape(1, 2, -1).astype(np.float32)
    places[0, axis] += 0.5
    between = augmentation.sampled(few.images[:1], places).reshape(28, 28)
    image = data.scaled(few.images)[0, ..., 0]
    expected = (image + np.roll(image, -1, axis)) / 2  # the edges are paper
    np.testing.assert_allclose(between, expected, atol=1e-6)


def test_each_image_is_warped_by_itself_and_stays_in_its_range(few: data.Digits) -> None:
    same_image = np.repeat(few.images[:1], 20, axis=0)
    warped = augmentation.augment(same_image, np.random.default_rng(1))
    assert warped.shape == (20, 28, 28, 1)
    assert warped.dtype == np.float32
    assert 0 <= warped.min() <= warped.max() <= 1
    assert len({image.tobytes() for image in warped}) == 20
    assert (warped.sum(axis=(1, 2, 3)) > 0.5 * same_image[0].sum() / 255).all()  # still a digit


def test_a_stroke_of_another_width_reaches_for_its_neighbours() -> None:
    dot = np.zeros([1, 28, 28, 1], np.float32)
    dot[0, 10, 10] = 1
    cross = [(9, 10), (10, 9), (10, 10), (10, 11), (11, 10)]

    def widened(images: Floats, pixels: float) -> Floats:
        random = SimpleNamespace(normal=lambda *_: np.full([1, 1, 1, 1], pixels))
        return augmentation.restroked(images, random)[0, ..., 0]  # type: ignore[arg-type]

    thick, whole = widened(dot, 0.25), widened(dot, 5)  # no more than THICKEST, 1
    assert {(y, x): thick[y, x] for y, x in np.argwhere(thick)} == {
        place: 1 if place == (10, 10) else 0.25 for place in cross
    }
    assert [tuple(place) for place in np.argwhere(whole)] == cross
    assert widened(dot, -0.25).sum() == 0.75
    assert widened(dot, -5).sum() == pytest.approx(1 + augmentation.THINNEST)
    corner = np.zeros([1, 28, 28, 1], np.float32)
    corner[0, 0, 0] = 1
    assert widened(corner, 1).sum() == 3  # what stands at an edge has no neighbours beyond


def test_each_image_has_strokes_of_its_own_and_stays_in_its_range(few: data.Digits) -> None:
    images = data.scaled(few.images)
    other = augmentation.restroked(images, np.random.default_rng(1))
    assert other.dtype == np.float32
    assert 0 <= other.min() <= other.max() <= 1
    gained = (other - images).sum(axis=(1, 2, 3))
    assert (gained > 0).any()
    assert (gained < 0).any()


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
    held_out = Answered(logits * 2.5, drawn(logits, random))
    scale = confidence.fit(held_out, held_out)
    assert scale.temperature == pytest.approx(2.5, rel=0.08)


def test_the_shift_loses_few_digits_of_other_hands_and_rejects_all_it_can() -> None:
    random = np.random.default_rng(1)
    held_out, other_hands = (of_digits(n, random) for n in (1_000, 40_000))
    scale = confidence.fit(held_out, other_hands)
    logits, labels = other_hands
    recognised = logits[:, :10].argmax(axis=1) == labels
    lost = [
        int((recognised & is_rejected(logits, scale.temperature, shift)).sum())
        for shift in (scale.shift, scale.shift + 0.5)
    ]
    assert lost[0] <= confidence.LOST * 40_000 < lost[1]


def test_each_digit_is_looked_at_in_many_hands_that_follow_from_the_seed(
    network: ConvolutionalNetwork, few: data.Digits
) -> None:
    once, again = (train_cnn.by_other_hands(network, few, seed=1) for _ in range(2))
    np.testing.assert_array_equal(once.logits, again.logits)
    assert once.labels.tolist() == few.labels.tolist() * train_cnn.HANDS
    own = train_cnn.answered(network, few).logits
    hands = [own, *once.logits.reshape(train_cnn.HANDS, *own.shape)]
    assert len({hand.tobytes() for hand in hands}) == 1 + train_cnn.HANDS


def of_digits(n: int, random: np.random.Generator) -> Answered:
    """Most of them recognised; many would be rejected as it is."""
    labels = random.integers(0, 10, n).astype(np.uint8)
    logits = random.normal(0, 1, [n, 11]).astype(np.float32)
    logits[np.arange(n), labels] += 9
    logits[:, 10] += 1
    return Answered(logits, labels)


def is_rejected(logits: Floats, temperature: float, shift: float) -> NDArray[np.bool_]:
    return np.asarray(logits[:, 10] / temperature + shift > 0)
