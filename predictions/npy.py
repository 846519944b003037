"""Arrays as numpy saves them."""

from io import BytesIO

import numpy as np

from mnistapi.problems import MALFORMED_NPY, NOT_A_NUMBER, Problem
from predictions.images import PIXELS, SIDE, refuse_more_than_any_plan_allows, wrong_shape
from predictions.pixels import Pixels, in_range


def saved_array(body: bytes) -> Pixels:
    """The array of a .npy file, [n, 784]. Nothing is allocated for what only its header says."""
    file = BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, is_fortran, dtype = read_header(file)
    except (
        Exception
    ) as error:  # the header is Python, and numpy lets through what its parser raises
        raise Problem(MALFORMED_NPY, "The body is not a .npy file of version 1 or 2.") from error
    if dtype != np.uint8 and dtype.kind != "f":
        raise Problem(NOT_A_NUMBER, f"Pixels are uint8 or floats, not {dtype.name}.")
    count = number_of_images(shape)
    data = memoryview(body)[file.tell() :]
    if len(data) != count * PIXELS * dtype.itemsize:
        raise Problem(MALFORMED_NPY, "The body is longer or shorter than its header says.")
    array = np.frombuffer(data, dtype)
    return array.reshape(shape, order="F" if is_fortran else "C").reshape(count, PIXELS)


def number_of_images(shape: tuple[int, ...]) -> int:
    if shape in ((PIXELS,), (SIDE, SIDE)):
        return 1
    if not shape or shape[1:] not in ((PIXELS,), (SIDE, SIDE)) or not shape[0]:
        wrong_shape(f"The array has the shape {list(shape)}, not [n, 28, 28] or [n, 784].")
    refuse_more_than_any_plan_allows(shape[0])
    return shape[0]


def finite_in_range(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    strange = np.argwhere(~np.isfinite(pixels))
    if len(strange):
        image, pixel = strange[0]
        raise Problem(NOT_A_NUMBER, f"Pixel {pixel} of image {image} is not a finite number.")
    return in_range(pixels, pixels)
