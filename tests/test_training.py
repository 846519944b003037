"""model/train_softmax.py, and the commands that train and evaluate."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model import card, checkpoints, data, serving, train_softmax

ROOT = Path(__file__).parent.parent
Floats = NDArray[np.float32]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


def weights(folder: Path) -> tuple[Floats, Floats]:
    """W [784, 10] and b [10]"""
    network = checkpoints.network_in(folder)
    return network.W.numpy(), network.b.numpy()


def test_one_seed_trains_the_same_bytes_twice(mnist: data.Mnist, tmp_path: Path) -> None:
    for folder in (tmp_path / "once", tmp_path / "twice"):
        train_softmax.train_and_save(mnist.train.part(0, 2_000), 50, folder)
    for once, twice in zip(weights(tmp_path / "once"), weights(tmp_path / "twice"), strict=True):
        assert once.any()
        assert once.tobytes() == twice.tobytes()


def test_another_seed_trains_other_weights(
    mnist: data.Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_softmax.train_and_save(mnist.train.part(0, 2_000), 5, tmp_path / "2017")
    monkeypatch.setattr(train_softmax, "SEED", 2018)
    train_softmax.train_and_save(mnist.train.part(0, 2_000), 5, tmp_path / "2018")
    assert (weights(tmp_path / "2017")[0] != weights(tmp_path / "2018")[0]).any()


def test_a_pass_over_the_images_takes_each_once(mnist: data.Mnist) -> None:
    few = data.Digits(mnist.train.images[:300], np.arange(300).astype(np.uint16))
    stream = train_softmax.batches(few)
    first, second = ([next(stream)[1] for _ in range(3)] for _ in range(2))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(300))
    assert (np.concatenate(first) != np.concatenate(second)).any()


def test_one_step_is_gradient_descent_on_the_cross_entropy(
    mnist: data.Mnist, tmp_path: Path
) -> None:
    few = mnist.train.part(0, 100)
    train_softmax.train_and_save(few, 1, tmp_path)
    x = data.scaled(few.images).reshape(100, 784).astype(np.float64)
    error = 0.1 - np.eye(10)[few.labels]  # [100, 10]: p - y, all p being 0.1 at first
    w, b = weights(tmp_path)
    np.testing.assert_allclose(w, -0.5 * x.T @ error / 100, rtol=0, atol=1e-6)
    np.testing.assert_allclose(b, -0.5 * error.mean(axis=0), rtol=0, atol=1e-6)


def test_the_number_of_steps_is_chosen_on_images_that_were_not_trained_on(
    mnist: data.Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_softmax, "CANDIDATES", range(50, 101, 50))
    monkeypatch.setattr(train_softmax, "FITTED", 1_000)
    honest = mnist.train.part(0, 2_000)
    lying = data.Digits(honest.images, honest.labels.copy())
    lying.labels[1_000:] = (lying.labels[1_000:] + 1) % 10
    assert min(train_softmax.choose_steps(honest).values()) > 0.7
    assert max(train_softmax.choose_steps(lying).values()) < 0.1


def test_the_command_trains_a_release_that_serves(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    done = run("model.train", "--output", str(folder), "--steps", "30")
    assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in folder.iterdir()) == [
        "card.json",
        "checkpoint",
        "trained.ckpt.data-00000-of-00001",
        "trained.ckpt.index",
        "trained.ckpt.meta",
        "trained.tflite",
    ]
    for file in folder.iterdir():
        assert bytes(tmp_path) not in file.read_bytes()
        assert bytes(ROOT) not in file.read_bytes()
    told = card.read(folder)
    assert told["name"] == checkpoints.restore(str(folder)).name == "tiny"
    assert (told["training"]["steps"], told["training"]["steps_chosen"]) == (30, "by hand")
    assert told["accuracy"]["right"] > 7_000


def test_the_command_prints_the_accuracy_and_that_of_each_digit() -> None:
    done = run("model.evaluate", "softmax-1")
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    accuracy = card.read(serving.RELEASES / "softmax-1")["accuracy"]
    assert lines[0] == "softmax-1"
    assert lines[1].split() == ["all", "92.40%", str(accuracy["right"]), "/", "10000"]
    assert lines[2].split()[-1] == "980"  # zeros
    assert lines[12] == "95 % interval 91.86% to 92.90%"


def test_the_command_refuses_an_unknown_release_in_one_line() -> None:
    done = run("model.evaluate", "no-such")
    assert done.returncode == 2
    assert "'no-such' is no release" in done.stderr.splitlines()[-1]
