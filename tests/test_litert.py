"""The second runtime: the export of a release answers what its checkpoint answers."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model import checkpoints, data, export, litert, serving
from tests.conftest import DIGIT
from tests.serving import Server, drop_database, new_database

RNG = np.random.default_rng(5)


@pytest.fixture
def checkpoint_alone(tmp_path: Path) -> Path:
    """A release that was never exported."""
    folder = tmp_path / "alone"
    ignored = shutil.ignore_patterns("*.tflite")
    return shutil.copytree(serving.RELEASES / "softmax-1", folder, ignore=ignored)


def test_both_runtimes_give_the_same_answers_over_the_whole_test_set() -> None:
    digits = data.load().test
    one, other = checkpoints.restore("softmax-1"), litert.restore("softmax-1")
    assert one.name == other.name == "softmax-1"
    assert 0 < export.greatest_difference(one, other, digits) <= 1e-5


def test_both_runtimes_of_the_convolutional_network_give_the_same_answers() -> None:
    digits = data.load().test.part(0, 1_000)
    one, other = checkpoints.restore("cnn-1"), litert.restore("cnn-1")
    assert 0 < export.greatest_difference(one, other, digits) <= 1e-5


def test_images_alone_and_in_batches_of_any_size_get_the_same_answers() -> None:
    release = litert.restore("softmax-1")
    images = RNG.random([100, 28, 28, 1], np.float32)
    together = release.predict(images)
    for size in (1, 7, 33):
        parts = [release.predict(images[i : i + size]) for i in range(0, 100, size)]
        np.testing.assert_allclose(np.concatenate(parts), together, atol=1e-5)
    assert release.predict(images[:0]).shape == (0, 10)


def test_eight_threads_get_the_answers_that_one_gets() -> None:
    release = litert.restore("softmax-1")
    batches = [RNG.random([1 + i % 5, 28, 28, 1], np.float32) for i in range(200)]
    alone = [release.predict(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for answer, expected in zip(threads.map(release.predict, batches), alone, strict=True):
            np.testing.assert_array_equal(answer, expected)


@pytest.mark.parametrize("shape", [[784], [1, 784], [28, 28], [1, 28, 28], [2, 14, 56, 1]])
def test_images_of_another_shape_are_refused(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="not float32"):
        litert.restore("softmax-1").predict(np.zeros(shape, np.float32))


def test_a_release_without_an_export_is_unusable_until_it_is_exported(
    checkpoint_alone: Path,
) -> None:
    with pytest.raises(serving.ReleaseUnusable, match=r"model\.export"):
        litert.restore(str(checkpoint_alone))
    assert export.export(checkpoint_alone, data.load().test) <= export.TOLERANCE
    litert.restore(str(checkpoint_alone))


def test_an_export_that_is_no_model_is_unusable(checkpoint_alone: Path) -> None:
    (checkpoint_alone / "trained.tflite").write_bytes(b"no model")
    with pytest.raises(serving.ReleaseUnusable):
        litert.restore(str(checkpoint_alone))


def test_an_export_that_answers_otherwise_is_not_kept(
    checkpoint_alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", 1e-9)
    with pytest.raises(export.RuntimesDisagree):
        export.export(checkpoint_alone, data.load().test)
    assert not list(checkpoint_alone.glob("*.tflite"))


def test_another_runtime_is_refused() -> None:
    with pytest.raises(ValueError, match="onnx"):
        serving.load("softmax-1", "onnx")


@pytest.fixture
def litert_server(tmp_path: Path) -> Iterator[Server]:
    here = os.environ["DATABASE_URL"]
    url = new_database(here)
    server = Server(url, tmp_path, {"MODEL_RUNTIME": "litert"})
    try:
        yield server.start()
    finally:
        server.stop()
        drop_database(here, url)


def test_a_server_with_litert_has_no_tensorflow_in_memory_and_answers_the_same(
    litert_server: Server, server: Server, server_key: str
) -> None:
    key = litert_server.manage("create_key", "owner@example.com")
    answer = litert_server.post("/v1/predictions", DIGIT.read_bytes(), key).body
    expected = server.post("/v1/predictions", DIGIT.read_bytes(), server_key).body
    assert answer["release"] == expected["release"]
    np.testing.assert_allclose(
        answer["predictions"][0]["probabilities"],
        expected["predictions"][0]["probabilities"],
        atol=1e-5,
    )
    for pid in litert_server.worker_pids():
        assert "libtensorflow" not in Path(f"/proc/{pid}/maps").read_text()
