"""Keeps freed memory in the process. Knows nothing of training.

A training step frees and allocates the same gigabyte every time. By default the GNU C library hands large
blocks back to the kernel at once, and every first touch of a fresh page is a fault: measured here, 77,000
faults and a fifth of the processor time of a step. Told to keep what it has, the allocator reuses warm pages.
"""

from __future__ import annotations

import ctypes
import sys

# From malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask the C library to reuse freed memory instead of returning it; for this process, from now on.

    Returns False, and changes nothing, where there is no GNU C library. The resident size stays at its peak
    until the process ends, so this belongs to the start of a training or benchmark run, not to a server.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (
        (_M_TRIM_THRESHOLD, _LARGEST_INT),
        (_M_TOP_PAD, 256 << 20),
        (_M_MMAP_THRESHOLD, 1 << 30),
        (_M_MMAP_MAX, 0),
    )
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)
