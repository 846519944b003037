"""What `normalise` gains: `python -m bench.photographs`.

Digits of the test set, drawn by code with a pen on paper and photographed badly. Prints how many
are right, in percent, if the picture is only scaled to 28 x 28 with its ink light, and if it is
normalised, by each release.
"""

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model import data, litert, serving
from model.data import Digits
from model.measurements import answers
from model.normalisation import normalise
from tests.photographs import SCENES, Scene, photograph
from tests.pictures import jpeg

DIGITS = 500
SIDES = (300, 1_600)  # pixels of the longer side, from and to
SEED = 5

Grey = NDArray[np.uint8]  # [h, w]
Images = NDArray[np.float32]  # [n, 28, 28, 1] in 0..1, ink = 1


def main() -> None:
    digits = data.load().test.part(0, DIGITS)
    releases = {name: litert.restore(name) for name in serving.folders()}
    print("", *(f"{name}, only scaled | normalised" for name in releases), sep=" | ")
    for scene, (scaled, normal) in made(digits):
        right = [
            f"{(answers(release.predict(images)) == digits.labels).mean():.1%}"
            for release in releases.values()
            for images in (scaled, normal)
        ]
        print(scene, *right, sep=" | ", flush=True)


def made(digits: Digits) -> Iterator[tuple[str, tuple[Images, Images]]]:
    """For each scene the images of the digits, only scaled and normalised."""
    yield "MNIST itself, 28 x 28", (data.scaled(digits.images), as_images(list(digits.images)))
    for name, scene in SCENES.items():
        pictures = photographed(digits, scene)
        yield name, (only_scaled(pictures, scene), as_images(pictures))


def photographed(digits: Digits, scene: Scene) -> list[Grey]:
    rng = np.random.default_rng(SEED)
    sides = rng.integers(*SIDES, len(digits.images)).tolist()
    files = (jpeg(photograph(d, scene, s, rng)) for d, s in zip(digits.images, sides, strict=True))
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def only_scaled(pictures: list[Grey], scene: Scene) -> Images:
    small = [
        np.asarray(Image.fromarray(p).resize((28, 28), Image.Resampling.BOX)) for p in pictures
    ]
    return data.scaled(np.stack(small) if scene.chalk else 255 - np.stack(small))


def as_images(pictures: list[Grey]) -> Images:
    return np.concatenate([normalise(picture[np.newaxis]) for picture in pictures])[..., np.newaxis]


if __name__ == "__main__":
    main()
