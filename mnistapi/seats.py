"""How many connections each worker process has: told to the others, so that all get about as many.

They listen on one socket, and of connections that arrive together the process that is awake first
would take most, and be busy while another rests.
"""

import mmap
import os
import time

SEATS = 64
NOBODY = 2**62
NOT_SERVING = 2**61  # as many connections as make no other process give way
# What the others are given: a process that is busy may need more than one turn. One that computes
# takes milliseconds for each, and then connections that are there already would wait.
TURNS = 8
GIVEN_SECONDS = 0.001

# Shared by all processes that are forked from the one that imports this. Behind the seats is a
# place for all who found none free, at which no other looks.
BOARD = memoryview(mmap.mmap(-1, (SEATS + 1) * 8)).cast("q")
for number in range(len(BOARD)):
    BOARD[number] = NOBODY
SEEN = BOARD[:SEATS]


class Seat:
    """Of one process. It is taken before the process is forked, and left when it has ended."""

    def __init__(self) -> None:
        self.number = [*SEEN, NOBODY].index(NOBODY)
        self.tell(NOT_SERVING)

    def tell(self, connections: int) -> None:
        BOARD[self.number] = connections

    def tell_no_more(self) -> None:
        """The process takes no further connections; how many it still has, nobody is told."""
        self.tell(NOT_SERVING)
        self.number = SEATS

    def give_way(self) -> None:
        """Let the other processes run while one of them has fewer connections, for a moment."""
        end = time.monotonic() + GIVEN_SECONDS
        for _ in range(TURNS):
            if BOARD[self.number] <= min(SEEN) or time.monotonic() > end:
                return
            os.sched_yield()

    def leave(self) -> None:
        self.tell(NOBODY)
