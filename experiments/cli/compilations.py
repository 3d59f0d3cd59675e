"""Compiled programs kept for the next start, in a folder of the user's own."""

import time
import warnings
from pathlib import Path

import jax

from experiments.cli import cache
from jaxgan import host

LIFETIME = 30 * 24 * 3600  # seconds


def _forget(folder: Path) -> None:
    """Removes what was compiled long ago: other versions' programs, and files that are damaged."""
    for file in folder.iterdir():
        if time.time() - file.stat().st_mtime > LIFETIME:
            file.unlink(missing_ok=True)


def keep() -> None:
    """Has JAX keep compiled programs in ``$XDG_CACHE_HOME/jaxgan``, by default ``~/.cache/jaxgan``.

    A folder that the user has told JAX of comes first. Where none can be had, or its owner not be told (on
    Windows), nothing is kept; and where a file of it cannot be read or written, a program is compiled as if
    it were not there.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    # JAX's keys know the processor, but not for how many cores XLA has cut a program up.
    folder = cache.folder(f"compilations-{host.count_cores()}-cores")
    if folder is None:
        return
    try:
        _forget(folder)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
