"""How many connections each worker process has: told to the others, so that all get as many.

They listen on one socket, and of connections that arrive together the process that is awake first
would take nearly all, and be busy while another rests.
"""

import mmap
import os

SEATS = 256  # more worker processes than any machine has
NOBODY = 2**62

# Shared by all processes that are forked from the one that imports this.
BOARD = memoryview(mmap.mmap(-1, SEATS * 8)).cast("q")
for number in range(SEATS):
    BOARD[number] = NOBODY


class Seat:
    """Of one process. It is taken before the process is forked, and left when it has ended."""

    def __init__(self) -> None:
        self.number = BOARD.tolist().index(NOBODY)
        self.tell(0)

    def tell(self, connections: int) -> None:
        BOARD[self.number] = connections

    def give_way(self) -> None:
        """Let the other processes run, if one of them has fewer connections."""
        if BOARD[self.number] > min(BOARD):
            os.sched_yield()

    def leave(self) -> None:
        self.tell(NOBODY)
