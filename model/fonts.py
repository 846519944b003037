"""Letters of the fonts that packages carry, for images that are not digits."""

import importlib.util
import string
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from model.data import DataMissing

# Left out, for many a hand and font draws them like a digit: 0, 1, 2, 5, 6, 8 or 9.
LOOK_ALIKE = "OoQDIiLlJjZzSsGgBbqpyYeaA"
LETTERS = [letter for letter in string.ascii_letters if letter not in LOOK_ALIKE]

SIZE = 64  # of the square that a letter is drawn in


def faces(*packages: str) -> list[Path]:
    """The font files of packages, in a fixed order; raises DataMissing."""
    return [file for package in packages for file in sorted(fonts_in(package))]


def fonts_in(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)  # runs nothing of the package
    folders = (spec and spec.submodule_search_locations) or ()
    files = [file for folder in folders for file in Path(folder, "files").glob("*.[to]tf")]
    if not files:
        raise DataMissing(
            f"{package} is not installed: run `pip install --no-deps -r requirements-data.txt`"
        )
    return files


def letter(face: Path, character: str, angle: float) -> NDArray[np.uint8]:
    """[64, 64], paper 0 and ink 255, turned by an angle in degrees."""
    picture = Image.new("L", (SIZE, SIZE))
    font = ImageFont.truetype(face, 44)
    ImageDraw.Draw(picture).text((SIZE // 2, SIZE // 2), character, 255, font, anchor="mm")
    return np.asarray(picture.rotate(angle, Image.Resampling.BILINEAR))
