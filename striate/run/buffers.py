"""Large blocks of memory that are used again and again: a network's activations, step after step."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc, malloc.h


def keep_big_buffers() -> bool:
    """Tell glibc not to give large blocks back to the kernel after each use; False where there is no glibc.

    A training step frees and asks for the same big buffers over and over. Without this each comes back as fresh
    pages that the kernel has to clear. No number changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_M_TRIM_THRESHOLD, 1 << 30))
