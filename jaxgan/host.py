"""Processor and memory of the host."""

import ctypes
import os
import platform
from pathlib import Path


def count_cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Returns the name of the processor, as far as the system knows it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Makes glibc's allocator keep freed memory instead of returning it to the system.

    XLA's CPU backend allocates its temporaries anew at every step. By default, blocks of several megabytes
    are mapped and unmapped each time, and the system clears every page again on first touch. Keeping them
    makes training on CPU faster, but the process never shrinks below its peak memory. All threads share one
    heap because a per-thread heap only holds blocks of up to 64 MiB and maps larger ones regardless.

    Returns:
      Whether the allocator accepted the settings; False if it is not glibc's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return False
    advice = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_ARENA_MAX, 1))
    return all(bool(mallopt(*each)) for each in advice)
