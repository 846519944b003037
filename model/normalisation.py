"""A picture of a handwritten digit, brought to the form that MNIST has its digits in.

People photograph, scan and draw; the network was trained on 28 x 28 pixels in which the digit is
light on dark, fits 20 x 20 and has its centre of mass in the middle. Whoever serves another model
writes another `normalise`. docs/preprocessing.md says the same in words, and what it gains.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.neighbourhoods import labelled, largest_near, smallest_near
from model.placement import SIDE, SURE, is_in_place, placed

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

WHITE = 255
VIEW = 280  # the longer side of what is looked at; larger pictures are averaged down to it
AT_ONCE = 2**18  # pixels that are worked on, which bounds the memory

DIMMEST = 0.05
UNDECIDED = -0.02  # a page of grain and shadows comes to less; ink comes to far more
OVEREXPOSED = 0.01  # of the light: what lacks less is as light as the camera can say
RIDGE = 1e-3  # of the pixels: so few of them tell nothing
FAINTEST = 0.1  # of the light of the paper: what takes less away is no ink
ABOVE_NOISE = 10  # standard deviations of the noise
TRACE = 0.12  # of the full ink: what has less is paper
SPECK = 0.08  # of the ink of the largest part: what has less is dirt
# What ink counts that reaches the edge of the picture: it may be a shadow, or the end of the paper.
AT_THE_EDGE = 1 / 20


def normalise(pictures: NDArray[np.uint8], ink: str | None = None) -> Floats:
    """From uint8 [n, h, w], black = 0, of any size, to float32 [n, 28, 28] in 0..1, ink = 1.

    `ink` is "dark" or "light" where that is known; otherwise each picture is looked at. One without
    ink gives zeros. Each is looked at by itself: what stands beside it changes nothing. A picture
    that is in MNIST's form stays as it is, but that its contrast becomes the full one.
    """
    count, height, width = pictures.shape
    rows, columns = reduction(height, width)
    step = max(1, AT_ONCE * rows * columns // (height * width))
    parts = [pictures[begin : begin + step] for begin in range(0, count, step)]
    return np.concatenate([normalised(averaged(part, rows, columns), ink) for part in parts])


def reduction(height: int, width: int) -> tuple[int, int]:
    """How many rows become one, and how many columns: as many, where there are so many."""
    factor = -(-max(height, width) // VIEW)
    return min(factor, height), min(factor, width)


def averaged(pictures: NDArray[np.uint8], rows: int, columns: int) -> Floats:
    """[n, h // rows, w // columns] in 0..1: the mean of each block; what is left over is cut."""
    count, height, width = (len(pictures), pictures.shape[1] // rows, pictures.shape[2] // columns)
    whole = pictures[:, : height * rows, : width * columns]
    lines = whole.reshape(count, height, rows, -1).sum(axis=2, dtype=np.uint32)
    blocks = lines.reshape(count, height, width, columns).sum(axis=3, dtype=np.uint32)
    return np.asarray(blocks / np.float32(WHITE * rows * columns), np.float32)


def normalised(views: Floats, said: str | None) -> Floats:
    """As `normalise`, for views [n, h, w] in 0..1."""
    is_dark = has_dark_ink(views) if said is None else np.full(len(views), said == "dark")
    ink, trace = ink_of(np.where(is_dark[:, None, None], views, 1 - views))
    traced = np.where(ink > trace, ink, 0)
    strokes = np.where(parts_of_the_digit(ink), traced, 0)
    stays = is_in_place(traced)
    moves = strokes.any(axis=(1, 2)) & ~stays
    images = np.zeros((len(views), SIDE, SIDE), np.float32)
    if stays.any():
        images[stays] = ink[stays]
    if moves.any():
        images[moves] = placed(strokes[moves])
    return images


def has_dark_ink(views: Floats) -> Mask:
    """Whether most of a picture, and of its frame, is what is light there, shadows apart."""
    even = views - planes(views)
    reach = max(views.shape[1:]) // 4
    above = even - (largest_near(even, reach) + smallest_near(even, reach)) / 2
    frame = np.ones(views.shape[1:], np.float32)
    edge = max(1, min(views.shape[1:]) // SIDE)
    frame[edge:-edge, edge:-edge] = 0
    score = above.mean(axis=(1, 2)) + (above * frame).sum(axis=(1, 2)) / frame.sum()
    return np.asarray(score > UNDECIDED)


def ink_of(pages: Floats) -> tuple[Floats, Floats]:
    """How much ink is where on pages of dark ink, 1 for the full ink; and from where on it is some.

    A page without any is all 0. What is measured is the share of the light that is missing, which
    shadows do not change.
    """
    missing = 1 - pages / np.maximum(ground_of(pages), np.float32(1 / WHITE))
    paper, peak = levels_of(missing.reshape(len(missing), -1))
    noise, full = noise_of(missing), peak - paper
    full = np.where(full > np.maximum(FAINTEST, ABOVE_NOISE * noise), full, np.inf)
    ink = ((missing - paper[:, None, None]) / full[:, None, None]).clip(0, 1)
    return ink.astype(np.float32), np.maximum(TRACE, 3 * noise / full)[:, None, None]


def ground_of(pages: Floats) -> Floats:
    """The pages with what is dark and narrower than half of them gone: their light and shadows.

    A light that falls off evenly is taken out first, as at the edge it would look like ink.
    """
    reach = max(1, max(pages.shape[1:]) // 4)
    light = np.maximum(lights(largest_near(pages, reach)), DIMMEST)
    return np.asarray(light * smallest_near(largest_near(pages / light, reach), reach))


def lights(pages: Floats) -> Floats:
    """The light that falls off evenly over each page [n, h, w], but is 1 where it would be more."""
    return np.stack([light_of(page) for page in pages])


def light_of(page: Floats) -> Floats:
    """[h, w] of one. Only pixels that are not overexposed tell how it falls off: it is the plane
    that comes closest to them and, where they are few, to 1.
    """
    sides = [np.linspace(-1, 1, side, dtype=np.float32) for side in page.shape]
    terms = np.stack(np.broadcast_arrays(np.float32(1), sides[0][:, None], sides[1]))
    terms = terms.reshape(3, -1)
    missing = 1 - page.ravel()
    telling = terms * (missing > OVEREXPOSED)
    plane = np.linalg.solve(telling @ terms.T + np.eye(3) * RIDGE * page.size, telling @ missing)
    return np.asarray(1 - np.maximum(plane.astype(np.float32) @ terms, 0)).reshape(page.shape)


def planes(values: Floats) -> Floats:
    """The plane that comes closest to each of [n, h, w]."""
    sides = [np.linspace(-1, 1, side, dtype=np.float32) for side in values.shape[1:]]
    level = values.mean(axis=(1, 2), keepdims=True)
    down = slopes((values - level).mean(axis=2), sides[0])[:, None, None] * sides[0][:, None]
    across = slopes((values - level).mean(axis=1), sides[1])[:, None, None] * sides[1]
    return np.asarray(level + down + across)


def slopes(means: Floats, side: Floats) -> Floats:
    return np.asarray((means * side).sum(axis=1) / np.maximum((side**2).sum(), 1))


def levels_of(missing: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What is missing on the paper and under full ink: [n] each, of [n, pixels]."""
    pixels = missing.shape[1]
    ordered = np.sort(missing, axis=1)
    peak = ordered[:, -min(pixels, max(4, pixels // 1000))]
    papers = (missing < SURE * peak[:, None]).sum(axis=1)
    paper = np.take_along_axis(ordered, papers[:, None] // 2, axis=1)[:, 0]
    return paper, peak


def noise_of(pages: NDArray[Any]) -> NDArray[Any]:
    """The standard deviation of the noise, [n], from what neighbours differ by in the median.

    Where fewer than half are equal, those are left out: they lie where the camera is overexposed,
    and the noise is elsewhere.
    """
    steps = np.sort(np.abs(np.diff(pages, axis=2)).reshape(len(pages), -1), axis=1)
    pairs = steps.shape[1]
    if not pairs:
        return np.zeros(len(pages), np.float32)
    equal = (steps == 0).sum(axis=1)
    middle = np.where(equal < pairs / 2, (equal + pairs) // 2, pairs // 2)
    return np.take_along_axis(steps, middle[:, None], axis=1)[:, 0] / np.float32(0.954)


def parts_of_the_digit(ink: Floats) -> Mask:
    """Where the strokes are, with their soft edges, but for parts that are small beside others."""
    mask = largest_near(ink > SURE, 1)
    labels = labelled(mask)
    ends = [labels[:, [0, -1]].ravel(), labels[:, :, [0, -1]].ravel()]
    weights = np.bincount(labels.ravel(), (ink**2).ravel(), mask.size + 1)
    counts = np.where(np.isin(np.arange(len(weights)), np.concatenate(ends)), AT_THE_EDGE, 1)
    weight = (weights * counts)[labels] * mask
    return np.asarray(weight > SPECK * weight.max(axis=(1, 2), keepdims=True))
