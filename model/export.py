"""Export a release for LiteRT: `python -m model.export RELEASE` writes trained.tflite.

The export is made from the restored checkpoint and compared with it over the whole test set.
"""

import argparse
from pathlib import Path

import numpy as np

from model import checkpoints, data, litert, serving
from model.data import Digits
from model.tf import tf

TOLERANCE = 1e-5  # in any probability of any image


class RuntimesDisagree(Exception):
    """The export does not answer what the checkpoint answers."""


def export(folder: Path, test: Digits) -> float:
    """Write trained.tflite into the folder of a release; give its greatest difference.

    Raises RuntimesDisagree, and leaves no export, if that is above TOLERANCE.
    """
    restored = checkpoints.restore(str(folder))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [restored.probabilities], restored.network
    )
    target = folder / "trained.tflite"
    target.write_bytes(converter.convert())
    difference = greatest_difference(restored, litert.restore(str(folder)), test)
    if difference > TOLERANCE:
        target.unlink()
        raise RuntimesDisagree(f"{folder.name}: probabilities differ by {difference:.1e}")
    return difference


def greatest_difference(one: serving.Release, other: serving.Release, digits: Digits) -> float:
    images = data.scaled(digits.images)
    return float(np.abs(one.predict(images) - other.predict(images)).max())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m model.export", description=__doc__)
    parser.add_argument("release", help="a name under model/releases, or a folder")
    try:
        folder = serving.release_folder(parser.parse_args().release)
        print(f"{folder.name}: differs by {export(folder, data.load().test):.1e} at most")
    except (
        serving.ReleaseNotFound,
        serving.ReleaseUnusable,
        data.DataMissing,
        RuntimesDisagree,
    ) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
