"""What glibc does with memory that a worker has freed.

It gives the end of its heap back to the system, and takes it again for the next call: for a batch
of a hundred images each time, as long as no larger body has come. Then page faults take a quarter
of the processor time of the call.
"""

import ctypes

# Of <malloc.h>. To set one of them keeps glibc from raising the other by itself.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 32 * 2**20  # bytes: the most that M_MMAP_THRESHOLD may be, with 64 bits


def keep_what_is_freed() -> None:
    """Up to KEPT bytes at the end of each heap, of which there are a few for all threads; and what
    lies below something that lives. Where the C library is another than glibc it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_TRIM_THRESHOLD, KEPT)
        mallopt(M_MMAP_THRESHOLD, KEPT)
