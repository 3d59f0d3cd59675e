"""The host: its cores, and its memory, where every step's arrays live on CPU."""

import ctypes
import os


def count_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Has glibc's allocator keep what is freed instead of giving it back to the system.

    XLA's CPU backend allocates its temporaries anew at every step. Blocks of megabytes are by default
    mapped and unmapped each time, and the system clears each page again on first touch: kept, a step of
    DCGAN-64 takes 0.84 of the time, one of 16 small MLPs 0.6. A process then holds the most it ever held.
    All threads share one heap: a thread's own holds blocks up to 64 MiB, and larger are mapped after all.

    Returns:
      Whether the allocator took the advice; False where it is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    advice = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    return all(bool(mallopt(*each)) for each in advice)
