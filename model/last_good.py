"""Which release answered last, for the workers that one server forks.

A worker may be replaced while serving.json names a release that cannot be loaded. It must not keep
the server from going on with the one that the other workers have.
"""

import mmap

NAME_BYTES = 128

# Imported before the fork, it is the memory of all workers; imported behind it, that of one.
_shared = mmap.mmap(-1, NAME_BYTES)


def remember(release: str) -> None:
    _shared[:] = release.encode().ljust(NAME_BYTES, b"\0")


def recall() -> str:
    """The name of the release that any worker loaded last; "" before the first."""
    return _shared[:].rstrip(b"\0").decode(errors="replace")
