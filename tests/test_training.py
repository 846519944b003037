"""model/train.py and model/evaluate.py: a tiny training, and the one in the repository."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model import checkpoints, data, evaluate, serving, train

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


def test_one_seed_trains_the_same_bytes_twice(mnist: data.Mnist, tmp_path: Path) -> None:
    for folder in (tmp_path / "once", tmp_path / "twice"):
        train.train_and_save(mnist.train.part(0, 2_000), 50, folder)
    for once, twice in zip(
        *(checkpoints.weights(tmp_path / f) for f in ("once", "twice")), strict=True
    ):
        assert once.any()
        assert once.tobytes() == twice.tobytes()


def test_another_seed_trains_other_weights(
    mnist: data.Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train_and_save(mnist.train.part(0, 2_000), 5, tmp_path / "2017")
    monkeypatch.setattr(train, "SEED", 2018)
    train.train_and_save(mnist.train.part(0, 2_000), 5, tmp_path / "2018")
    assert (
        checkpoints.weights(tmp_path / "2017")[0] != checkpoints.weights(tmp_path / "2018")[0]
    ).any()


def test_a_pass_over_the_images_takes_each_once(mnist: data.Mnist) -> None:
    few = data.Digits(mnist.train.images[:300], np.arange(300).astype(np.uint16))
    stream = train.batches(few)
    first, second = ([next(stream)[1] for _ in range(3)] for _ in range(2))
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(300))
    assert (np.concatenate(first) != np.concatenate(second)).any()


def test_one_step_is_gradient_descent_on_the_cross_entropy(
    mnist: data.Mnist, tmp_path: Path
) -> None:
    few = mnist.train.part(0, 100)
    train.train_and_save(few, 1, tmp_path)
    x = data.scaled(few.images).reshape(100, 784).astype(np.float64)
    error = 0.1 - np.eye(10)[few.labels]  # [100, 10]: p - y, all p being 0.1 at first
    w, b = checkpoints.weights(tmp_path)
    np.testing.assert_allclose(w, -0.5 * x.T @ error / 100, rtol=0, atol=1e-6)
    np.testing.assert_allclose(b, -0.5 * error.mean(axis=0), rtol=0, atol=1e-6)


def test_the_number_of_steps_is_chosen_on_images_that_were_not_trained_on(
    mnist: data.Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CANDIDATES", range(50, 101, 50))
    monkeypatch.setattr(train, "FITTED", 1_000)
    honest = mnist.train.part(0, 2_000)
    lying = data.Digits(honest.images, honest.labels.copy())
    lying.labels[1_000:] = (lying.labels[1_000:] + 1) % 10
    assert min(train.choose_steps(honest).values()) > 0.7
    assert max(train.choose_steps(lying).values()) < 0.1


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
    card = json.loads((folder / "card.json").read_text())
    assert (card["name"], card["steps"], card["steps_chosen"]) == ("tiny", 30, "by hand")
    assert checkpoints.restore(str(folder)).name == "tiny"


def test_the_card_of_softmax_1_says_what_evaluate_measures(mnist: data.Mnist) -> None:
    card = json.loads((serving.RELEASES / "softmax-1" / "card.json").read_text())
    result = evaluate.accuracy("softmax-1")
    assert card["test_accuracy"] == result.share >= 0.92
    assert sum(result.total) == 10_000
    assert card["train"] == {"images": 60_000, "sha256": mnist.train.sha256()}
    assert card["test"] == {"images": 10_000, "sha256": mnist.test.sha256()}


def test_accuracy_counts_each_digit() -> None:
    class ThreeAlways:
        def __init__(self) -> None:
            self.name = "three-always"

        def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
            return np.eye(10, dtype=np.float32)[[3] * len(images)]

    digits = data.Digits(np.zeros([4, 28, 28], np.uint8), np.array([3, 1, 3, 9], np.uint8))
    result = evaluate.measure(ThreeAlways(), digits)
    assert result.correct == [0, 0, 0, 2, 0, 0, 0, 0, 0, 0]
    assert result.total == [0, 1, 0, 2, 0, 0, 0, 0, 0, 1]
    assert result.share == 0.5


def test_the_command_prints_the_accuracy_and_that_of_each_digit() -> None:
    done = run("model.evaluate", "softmax-1")
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == 11
    share = json.loads((serving.RELEASES / "softmax-1" / "card.json").read_text())["test_accuracy"]
    assert lines[0].split() == ["softmax-1", f"{share:.2%}", f"{share * 10_000:.0f}", "/", "10000"]
    assert lines[1].split()[-1] == "980"  # zeros


def test_the_command_refuses_an_unknown_release_in_one_line() -> None:
    done = run("model.evaluate", "no-such")
    assert done.returncode == 2
    assert "'no-such' is no release" in done.stderr.splitlines()[-1]
