"""Which release answers, and which is tried beside it: serving.json in the folder of releases.

    {"current": "softmax-1", "shadow": {"release": "cnn-1", "share": 0.1}}

`shadow` may be left out. Releases are named, never given as a path.
"""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

FILE_NAME = "serving.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ServingFileUnusable(Exception):
    """It is not there, or does not say which release is current."""


class Shadow(NamedTuple):
    """A release that is asked beside the current one, for this share of the calls: 0 < share <= 1.

    Its answers are compared, and given to nobody.
    """

    release: str
    share: float


class Choice(NamedTuple):
    current: str
    shadow: Shadow | None = None


def read(releases: Path) -> Choice:
    """What the file in the folder of releases says; raises ServingFileUnusable."""
    try:
        return choice_of(json.loads((releases / FILE_NAME).read_text()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ServingFileUnusable(f"{FILE_NAME}: {error or type(error).__name__}") from error


def version(releases: Path) -> tuple[int, int, int] | None:
    """Something that changes with the file, and is quickly had; None if there is none."""
    try:
        stat = (releases / FILE_NAME).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def write(releases: Path, choice: Choice) -> None:
    """Replace the file as a whole: whoever reads it meanwhile has the old one or the new one."""
    content: dict[str, Any] = {"current": choice.current}
    if choice.shadow:
        content["shadow"] = choice.shadow._asdict()
    choice_of(content)
    with tempfile.NamedTemporaryFile(
        "w", dir=releases, prefix=f".{FILE_NAME}.", delete=False
    ) as new:
        new.write(json.dumps(content, indent=2) + "\n")
        new.flush()
        os.fsync(new.fileno())
    os.chmod(new.name, 0o644)  # a temporary file is its owner's alone
    os.replace(new.name, releases / FILE_NAME)


def choice_of(content: Any) -> Choice:
    """Raises ValueError, KeyError or TypeError."""
    if not isinstance(content, dict):
        raise TypeError("it is not an object")
    if unknown := content.keys() - {"current", "shadow"}:
        raise ValueError(f"it has {min(unknown)!r}, which means nothing")
    return Choice(named(content["current"]), shadow_of(content.get("shadow")))


def shadow_of(content: Any) -> Shadow | None:
    if content is None:
        return None
    share = float(content["share"])
    if not 0 < share <= 1:
        raise ValueError(f"the share of a shadow is above 0 and at most 1, not {share}")
    return Shadow(named(content["release"]), share)


def named(name: Any) -> str:
    """The name of a release, which is also that of its folder; raises ValueError or TypeError."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name[:100]!r} is no name of a release")
    return str(name)
