"""PNG and JPEG of any size up to 4 megapixels: bytes of other people's making.

All that can be told from its head is told before a picture is decoded: what it is, how large, and
whether it ends. docs/preprocessing.md says what is made of it then.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageStat, PngImagePlugin

from mnistapi.problems import (
    ANIMATED_PICTURE,
    INVALID_BASE64,
    MALFORMED_PICTURE,
    TOO_MANY_PIXELS,
    UNSUPPORTED_PICTURE,
    Problem,
)
from model.normalisation import VIEW, normalise
from predictions.images import SIDE, Images, refuse_more_than_any_plan_allows, shaped

MAX_PIXELS = 4 * 2**20  # of a picture
MAX_TOTAL_PIXELS = 4 * MAX_PIXELS  # of a request

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
PNG_END, JPEG_SCAN, JPEG_END = b"IEND\xaeB`\x82", b"\xff\xda", b"\xff\xd9"
OTHERS = {b"GIF8": "a GIF", b"RIFF": "WebP", b"BM": "a BMP", b"<": "SVG or HTML", b"%PDF": "a PDF"}
# A picture of a few bytes a piece would be looked at for minutes.
MAX_READS = 30_000
MAX_SCANS = 40

ORIENTATION = 0x0112  # in EXIF: how the picture is to be turned to be seen upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

MOTTLED = 30  # in steps of lightness; black on a fiftieth of a sheet is a deviation of 36

Grey = NDArray[np.uint8]  # [h, w]

Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and is held in `opened`
PngImagePlugin.MAX_TEXT_MEMORY = 2**20  # of compressed comments, which nobody reads here


class Patience(BytesIO):
    """A file that refuses to be read in more than so many pieces."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MAX_READS:
            raise OSError("too many pieces")
        return super().read(size)


def images_of(files: Sequence[bytes], ink: str | None) -> Images:
    """Each file as the model takes it. All are looked at before the first is decoded."""
    refuse_more_than_any_plan_allows(len(files))
    pictures = []
    pixels = 0
    for index, file in enumerate(files):
        pictures.append(opened(file, index))
        pixels += pictures[-1].width * pictures[-1].height
        if pixels > MAX_TOTAL_PIXELS:
            raise Problem(
                TOO_MANY_PIXELS,
                f"The pictures have more than {MAX_TOTAL_PIXELS:,} pixels together. Send fewer in "
                "a call, or smaller ones.",
            )
    return normalised([grey(picture, index) for index, picture in enumerate(pictures)], ink)


def from_base64(text: str, index: int) -> bytes:
    """The bytes of a picture in JSON; the head of a data: URL and line ends do no harm."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem(INVALID_BASE64, f"Image {index} is a text that is not base64.") from error


def opened(file: bytes, index: int) -> Image.Image:
    """A picture of which the head has been read and found good. Its bytes say what it is."""
    refuse_what_is_neither(file, index)
    try:
        picture = Image.open(Patience(file), formats=("PNG", "JPEG"))
    except Exception as error:  # Pillow lets through whatever its parsers raise
        raise damaged(index) from error
    if picture.width * picture.height > MAX_PIXELS:
        raise Problem(
            TOO_MANY_PIXELS,
            f"Image {index} has {picture.width} x {picture.height} pixels; {MAX_PIXELS:,} may be. "
            "Scale it down.",
        )
    if picture.format == "PNG" and getattr(picture, "is_animated", False):
        raise Problem(ANIMATED_PICTURE, f"Image {index} is animated. Send one frame of it.")
    if not is_whole(file):
        raise damaged(index)
    return picture


def refuse_what_is_neither(file: bytes, index: int) -> None:
    if file.startswith((PNG, JPEG)):
        return
    kind = next(
        (name for head, name in OTHERS.items() if file.startswith(head)), "neither PNG nor JPEG"
    )
    raise Problem(
        UNSUPPORTED_PICTURE, f"Image {index} is {kind}, whatever it is called. Send PNG or JPEG."
    )


def is_whole(file: bytes) -> bool:
    if file.startswith(PNG):
        return PNG_END in file
    return JPEG_END in file and file.count(JPEG_SCAN) <= MAX_SCANS


def damaged(index: int) -> Problem:
    return Problem(MALFORMED_PICTURE, f"Image {index} is cut off or damaged.")


def grey(picture: Image.Image, index: int) -> Grey:
    """How light each pixel is, upright, and what is transparent as paper."""
    try:
        picture.draft("L", (VIEW, VIEW))  # JPEG is decoded no larger than it will be looked at
        picture.load()
        turn = TURNS.get(orientation(picture))
        flat = on_paper(picture) if picture.has_transparency_data else lightness(picture)
        return np.asarray(flat if turn is None else flat.transpose(turn))
    except Exception as error:
        raise damaged(index) from error


def orientation(picture: Image.Image) -> Any:
    try:
        return picture.getexif().get(ORIENTATION)
    except Exception:  # what a camera wrote beside the picture is no reason to refuse it
        return None


def lightness(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits, which Pillow would cut instead of scale
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("L")


def on_paper(picture: Image.Image) -> Image.Image:
    """A drawing of which parts are transparent, on paper on which it can be seen.

    If it is more than half transparent, what is there is ink, unless it is a sheet; else it is
    mostly paper itself.
    """
    if picture.mode.startswith("I"):
        return lightness(picture)
    layers = picture.convert("RGBA")
    alpha = layers.getchannel("A")
    lights = layers.convert("L")
    there = ImageStat.Stat(lights, alpha)
    level = there.median[0] if there.count[0] else 0
    is_ink = ImageStat.Stat(alpha).mean[0] < 128 and not is_sheet(lights, alpha, level)
    paper = Image.new("L", picture.size, (0 if level > 127 else 255) if is_ink else level)
    paper.paste(lights, mask=alpha)
    return paper


def is_sheet(lights: Image.Image, alpha: Image.Image, level: float) -> bool:
    """Whether what is there, mostly of lightness `level`, has other things on it, and is cut out by
    straight lines that do not cross these. The edge of ink is its own outline, and fades."""
    box = alpha.getbbox()
    if box is None or ImageStat.Stat(lights, alpha).stddev[0] < MOTTLED:
        return False
    seen, opacity = (np.asarray(layer.crop(box), np.int16) for layer in (lights, alpha))
    is_level = (opacity > 127) & (abs(seen - level) < MOTTLED)
    edges = is_level[0], is_level[-1], is_level[:, 0], is_level[:, -1]
    return bool(np.concatenate(edges).mean() > 0.5)


def normalised(greys: Sequence[Grey], ink: str | None) -> Images:
    """As the model takes them, those of one size together."""
    places = defaultdict(list)
    for place, picture in enumerate(greys):
        places[picture.shape].append(place)
    images = np.empty((len(greys), SIDE, SIDE, 1), np.float32)
    for some in places.values():
        images[some] = shaped(normalise(np.stack([greys[place] for place in some]), ink))
    return images
