"""The releases that answer: found by name, loaded after the fork, warm before they are asked.

A process loads them with `load` or `follow`, and asks `current` and `named` ever after. All that
are in the folder of releases are loaded, not only the current one: a call may ask for any of them,
and none has to wait for that. They are small.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.labels import LABELS
from model.serving_file import NAME, Choice, Shadow

RELEASES = Path(os.environ.get("MODEL_RELEASES") or Path(__file__).parent / "releases").resolve()
RUNTIMES = ("tensorflow", "litert")
TIMED = 16  # images, behind a first time that may have more to do
TIMES = 5  # of which the shortest counts: others may keep the machine busy


class ReleaseNotFound(Exception):
    """No release has that name, and no folder that path."""


class ReleaseUnusable(Exception):
    """The folder is there, but not one checkpoint, or one export, of a network that answers."""


class NotLoaded(Exception):
    """No release was loaded in this process."""


class Release(Protocol):
    """A model that answers. Its `predict` may be called from any number of threads."""

    name: str
    seconds: float  # an image among several, as `restored` measured it

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities [n, 10] of float32 images [n, 28, 28, 1] in 0..1, paper = 0 and ink = 1.

        A row sums to 1 or, from a network that knows what it does not know, to the probability
        that the image is one of what the columns stand for.

        Raises ValueError for another shape or type; the range is for the caller to see to.
        """


@dataclass(frozen=True)
class Loaded:
    """The releases of a process at one moment; it is replaced as a whole."""

    runtime: str
    current: Release
    by_folder: Mapping[Path, Release]
    unusable: Mapping[str, str]  # why, by name
    shadow: Shadow | None

    @cached_property
    def by_name(self) -> dict[str, Release]:
        return {release.name: release for release in self.by_folder.values()}


_loaded: Loaded | None = None


def load(release: str, runtime: str = "tensorflow", shadow: Shadow | None = None) -> None:
    """Make a release, by name or folder, the current one, and have those beside it by name.

    What was loaded before is kept, but for what is in no folder any more: a release does not
    change under its name. Calls under way finish with what they have.

    Raises ReleaseNotFound or ReleaseUnusable, and then leaves all as it was.
    """
    global _loaded
    folder = release_folder(release)
    before = _loaded.by_folder if _loaded and _loaded.runtime == runtime else {}
    current = before.get(folder) or restored(str(folder), runtime)
    by_folder, unusable = beside({**before, folder: current}, runtime)
    _loaded = Loaded(runtime, current, by_folder | {folder: current}, unusable, shadow)


def follow(choice: Choice, runtime: str) -> None:
    """`load` what serving.json says, which names releases under RELEASES only."""
    if choice.current not in folders():
        raise ReleaseNotFound(f"{choice.current!r} is none of: {listed(folders())}")
    load(choice.current, runtime, choice.shadow)


def beside(
    before: Mapping[Path, Release], runtime: str
) -> tuple[dict[Path, Release], dict[str, str]]:
    """All releases under RELEASES, loaded unless they were before, and why some cannot be."""
    by_folder, unusable = dict[Path, Release](), dict[str, str]()
    for name, folder in folders().items():
        try:
            by_folder[folder] = before.get(folder) or restored(str(folder), runtime)
        except Exception as error:  # one that nobody asked for must not keep the others away
            unusable[name] = str(error)
    return by_folder, unusable


def restored(release: str, runtime: str) -> Release:
    """With a column for each label, and its time taken. Raises ReleaseUnusable, or ValueError for
    the runtime.
    """
    network = network_of(release, runtime)
    images = np.zeros([TIMED, 28, 28, 1], np.float32)
    columns = network.predict(images).shape[1]
    if columns != len(LABELS):
        raise ReleaseUnusable(f"{release}: it has {columns} columns for {len(LABELS)} labels")
    network.seconds = min(seconds_of(network, images) for _ in range(TIMES)) / TIMED
    return network


def seconds_of(network: Release, images: NDArray[np.float32]) -> float:
    began = time.perf_counter()
    network.predict(images)
    return time.perf_counter() - began


def network_of(release: str, runtime: str) -> Release:
    """By `tensorflow` from the checkpoint, by `litert` from its export."""
    # Imported here: TensorFlow takes seconds, and most commands and the other runtime need none.
    if runtime == "tensorflow":
        from model import checkpoints

        return checkpoints.restore(release)
    if runtime == "litert":
        from model import litert

        return litert.restore(release)
    raise ValueError(f"{runtime!r} is no runtime; there are {', '.join(RUNTIMES)}")


def loaded() -> Loaded:
    """What is loaded now; raises NotLoaded before the first `load` of this process."""
    if _loaded is None:
        raise NotLoaded("no release is loaded: call model.serving.load first")
    return _loaded


def current() -> Release:
    """The release that answers whoever asks for none; raises NotLoaded."""
    return loaded().current


def named(name: str) -> Release:
    """The release that a caller asks for. It is looked for among those loaded, and nowhere else.

    Raises ReleaseNotFound or NotLoaded.
    """
    releases = loaded().by_name
    if name not in releases:
        raise ReleaseNotFound(f"There is no release {name[:40]!r}; there are: {listed(releases)}.")
    return releases[name]


def release_folder(release: str) -> Path:
    """The folder of a release: its name under RELEASES, or the path of a folder.

    Raises ReleaseNotFound. Any folder will do: pass what an operator wrote, not what a caller sent.
    """
    known = folders()
    if release in known:
        return known[release]
    if release and Path(release).is_dir():
        return Path(release).resolve()
    raise ReleaseNotFound(f"{release!r} is no release (there is: {listed(known)}) and no folder")


def folders() -> dict[str, Path]:
    """The releases under RELEASES, by name; one that is being copied has a name that is none."""
    found = sorted(folder for folder in RELEASES.glob("*/") if NAME.fullmatch(folder.name))
    return {folder.name: folder for folder in found}


def listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"


def check_images(images: NDArray[np.float32]) -> None:
    """Raises ValueError unless they are float32 [n, 28, 28, 1]: a runtime may take other shapes."""
    if images.shape[1:] != (28, 28, 1) or images.dtype != np.float32:
        raise ValueError(f"not float32 [n, 28, 28, 1]: {images.dtype} {list(images.shape)}")
