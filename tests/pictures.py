"""Pictures as people send them, and as nobody should."""

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import orjson
from PIL import Image

from tests.serving import ROOT

PIXELS = orjson.loads((ROOT / "mnistapi/static/mnistapi/digit.json").read_bytes())
THREE = np.array(PIXELS, np.uint8).reshape(28, 28)  # light on dark
BOUNDARY = "a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def png(picture: Any, **how: Any) -> bytes:
    return saved(picture, "PNG", **how)


def jpeg(picture: Any, **how: Any) -> bytes:
    return saved(picture, "JPEG", **{"quality": 95, **how})


def saved(picture: Any, kind: str, **how: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """A piece of a PNG."""
    sum_of = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", sum_of)


def black_png(width: int, height: int, *chunks: bytes) -> bytes:
    """One bit a pixel; as small as such a picture can be. The chunks come before the pixels."""
    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((1 + (width + 7) // 8) * height), 9)
    body = [head, *chunks, chunk(b"IDAT", pixels), chunk(b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def animation() -> bytes:
    """A PNG of two frames."""
    frames = [Image.fromarray(THREE), Image.fromarray(255 - THREE)]
    return png(frames[0], save_all=True, append_images=frames[1:])


def form(
    files: Sequence[bytes], boundary: str = BOUNDARY, name: str = "image", **fields: str
) -> bytes:
    """A form as it is sent: its fields, and files of that name."""
    parts = [(f'name="{field}"', value.encode()) for field, value in fields.items()]
    parts += [(f'name="{name}"; filename="digit.png"', file) for file in files]
    lines = [
        f"--{boundary}\r\nContent-Disposition: form-data; {of}\r\n\r\n".encode() + value + b"\r\n"
        for of, value in parts
    ]
    return b"".join([*lines, f"--{boundary}--\r\n".encode()])
