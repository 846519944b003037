"""model/serving.py and the release in the repository."""

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model import checkpoints, serving
from model.tf import tf

ROOT = Path(__file__).parent.parent
Floats = NDArray[np.float32]


def save(folder: Path, **variables: Floats) -> str:
    """A checkpoint as TensorFlow 1's Saver writes it; "__" in a name stands for "/"."""
    v1 = tf.compat.v1
    folder.mkdir(exist_ok=True)
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        for name, value in variables.items():
            v1.Variable(value, name=name.replace("__", "/"), use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "trained.ckpt"))
    return str(folder)


def softmax(x: Floats, w: Floats, b: Floats) -> NDArray[np.float64]:
    """The definition, in float64: x [n, 784] -> [n, 10]."""
    z = x.astype(np.float64) @ w.astype(np.float64) + b
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


@pytest.fixture
def w() -> Floats:
    return np.random.default_rng(1).normal(0, 0.1, [784, 10]).astype(np.float32)


@pytest.fixture
def b() -> Floats:
    return np.random.default_rng(2).normal(0, 1, 10).astype(np.float32)


@pytest.fixture
def images() -> Floats:
    return np.random.default_rng(3).random([100, 28, 28, 1], np.float32)


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_loaded", None)


def test_a_checkpoint_of_tensorflow_1_restores(
    tmp_path: Path, w: Floats, b: Floats, images: Floats
) -> None:
    release = checkpoints.restore(save(tmp_path / "of-2017", W=w, b=b))
    assert release.name == "of-2017"
    answers = release.predict(images)
    assert answers.dtype == np.float32
    assert answers.shape == (100, 10)
    np.testing.assert_allclose(answers, softmax(images.reshape(-1, 784), w, b), rtol=0, atol=1e-6)


def test_the_names_of_the_variables_do_not_matter(
    tmp_path: Path, w: Floats, b: Floats, images: Floats
) -> None:
    folder = save(
        tmp_path, layer__biases=b, layer__weights=w, global_step=np.array(1_000, np.float32)
    )
    answers = checkpoints.restore(folder).predict(images)
    np.testing.assert_allclose(answers, softmax(images.reshape(-1, 784), w, b), rtol=0, atol=1e-6)


def test_the_checkpoint_file_is_not_trusted(tmp_path: Path, w: Floats, b: Floats) -> None:
    folder = save(tmp_path, W=w, b=b)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/elsewhere/other.ckpt"\n')
    checkpoints.restore(folder)


def test_an_unknown_release_is_not_found() -> None:
    with pytest.raises(serving.ReleaseNotFound, match=r"'no-such'.*softmax-1"):
        checkpoints.restore("no-such")


@pytest.mark.parametrize("release", ["", "softmax-1/card.json", "../model/releases/softmax-1"])
def test_what_is_neither_a_name_nor_a_folder_is_not_found(
    release: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(serving.ReleaseNotFound):
        serving.release_folder(release)


def test_a_release_may_be_a_relative_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serving.release_folder(".") == tmp_path.resolve()


def test_a_folder_without_a_checkpoint_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(serving.ReleaseUnusable, match=r"one checkpoint .* there are 0"):
        checkpoints.restore(str(tmp_path))


def test_two_checkpoints_in_a_folder_are_unusable(tmp_path: Path, w: Floats, b: Floats) -> None:
    folder = save(tmp_path, W=w, b=b)
    shutil.copy(tmp_path / "trained.ckpt.index", tmp_path / "older.ckpt.index")
    with pytest.raises(serving.ReleaseUnusable, match=r"one checkpoint .* there are 2"):
        checkpoints.restore(folder)


def test_variables_of_other_shapes_are_unusable(tmp_path: Path, w: Floats, b: Floats) -> None:
    folder = save(tmp_path, W=w[:, :9], b=b[:9])
    with pytest.raises(serving.ReleaseUnusable, match=r"shape \[784, 10\]"):
        checkpoints.restore(folder)


def test_two_variables_of_one_shape_are_unusable(tmp_path: Path, w: Floats, b: Floats) -> None:
    folder = save(tmp_path, W=w, b=b, b__Momentum=b)
    with pytest.raises(serving.ReleaseUnusable, match=r"shape \[10\]"):
        checkpoints.restore(folder)


def test_weights_that_are_not_numbers_are_unusable(tmp_path: Path, w: Floats, b: Floats) -> None:
    w[0, 0] = np.nan
    folder = save(tmp_path, W=w, b=b)
    with pytest.raises(serving.ReleaseUnusable, match="finite"):
        checkpoints.restore(folder)


@pytest.mark.parametrize("kept", [None, 0, 100])
@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_unusable(
    tmp_path: Path, w: Floats, b: Floats, suffix: str, kept: int | None
) -> None:
    folder = save(tmp_path, W=w, b=b)
    damaged = tmp_path / f"trained.ckpt.{suffix}"
    if kept is None:
        damaged.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[:kept])
    with pytest.raises(serving.ReleaseUnusable, match=re.escape(folder)):
        checkpoints.restore(folder)


@pytest.mark.parametrize("shape", [[1, 784], [28, 28], [1, 28, 28], [2, 14, 56, 1]])
def test_images_of_another_shape_are_refused(shape: list[int]) -> None:
    with pytest.raises(ValueError, match="not float32"):
        checkpoints.restore("softmax-1").predict(np.zeros(shape, np.float32))


def test_images_of_another_type_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        checkpoints.restore("softmax-1").predict(np.zeros([1, 28, 28, 1], np.uint8))


def test_no_images_have_no_answers() -> None:
    answers = checkpoints.restore("softmax-1").predict(np.zeros([0, 28, 28, 1], np.float32))
    assert answers.shape == (0, 10)


def test_eight_threads_get_the_answers_that_one_gets(images: Floats) -> None:
    release = checkpoints.restore("softmax-1")
    batches = [images[i : i + 1 + i % 5] for i in range(90)]
    alone = [release.predict(batch) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(release.predict, batches * 5))
    for expected, answer in zip(alone * 5, together, strict=True):
        np.testing.assert_array_equal(answer, expected)


def test_nothing_is_current_before_a_load() -> None:
    with pytest.raises(serving.NotLoaded):
        serving.current()


def test_a_second_load_replaces_the_first(tmp_path: Path, w: Floats, b: Floats) -> None:
    serving.load("softmax-1")
    first = serving.current()
    serving.load(save(tmp_path / "next", W=w, b=b))
    assert serving.current().name == "next"
    first.predict(np.zeros([1, 28, 28, 1], np.float32))  # a call under way


def test_a_load_that_fails_leaves_the_current_release() -> None:
    serving.load("softmax-1")
    with pytest.raises(serving.ReleaseNotFound):
        serving.load("no-such")
    assert serving.current().name == "softmax-1"


def test_an_operation_runs_in_one_thread() -> None:
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert tf.config.threading.get_inter_op_parallelism_threads() == 1


def test_serving_starts_without_chatter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    code = "import os; from model import serving; serving.load('softmax-1'); os.write(2, b'mine')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "mine")


def test_a_failing_import_still_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    code = "import os, model.tf as t\nwith t.without_chatter(): os.write(2, b'why\\n'); 1 / 0"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.startswith("why\nTraceback")


def test_the_releases_in_the_repository_name_no_folder_of_their_maker() -> None:
    # So long that no megabyte of weights has one by chance.
    part = rb"[\w.@-]{2,}"
    absolute = re.compile(
        rb"(?<![\w.@:])/(?:%b/){2,}%b|[A-Z]:\\(?:%b\\)+%b" % (part, part, part, part)
    )
    pixels = re.compile(rb'"pixels": "[^"]*"')  # in base64, which has slashes
    for file in serving.RELEASES.rglob("*/*"):
        assert not absolute.findall(pixels.sub(b"", file.read_bytes())), file


def test_the_card_names_its_release() -> None:
    for folder in serving.RELEASES.glob("*/"):
        assert json.loads((folder / "card.json").read_text())["name"] == folder.name
