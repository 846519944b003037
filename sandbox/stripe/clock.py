"""The one clock that everything here reads: real time, and what it was advanced by."""

import time


class Clock:
    """Seconds since 1970. While work that was due is done, it shows the moment it was due."""

    def __init__(self, now: int | None = None) -> None:
        self.offset = 0.0 if now is None else now - time.time()
        self.moment: int | None = None

    def now(self) -> int:
        return self.moment if self.moment is not None else self.running()

    def running(self) -> int:
        """The time past any work that is being done."""
        return int(time.time() + self.offset)

    def advance_to(self, then: int) -> None:
        """Go on from `then`; it never goes back."""
        self.offset = max(self.offset, then - time.time())
