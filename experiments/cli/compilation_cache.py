"""The persistent compilation cache, in a folder that belongs to the user."""

import warnings
from pathlib import Path

import jax

from experiments.cli import cache
from jaxgan import host

# JAX looks at every cached program whenever it adds one, so a larger cache slows each compilation down.
MAX_BYTES = 256 * 2**20


def _remove_unfinished(folder: Path) -> None:
    """Removes programs whose writing was cut short, for instance because the process was killed.

    JAX keeps the time of a program's last use in a second file, which it writes after the program. JAX can
    add no program to a cache that holds a program without this second file.
    """
    for program in folder.glob("*-cache"):
        if not program.with_name(f"{program.name.removesuffix('-cache')}-atime").exists():
            program.unlink(missing_ok=True)


def keep() -> None:
    """Makes JAX keep compiled programs in ``$XDG_CACHE_HOME/jaxgan``, by default in ``~/.cache/jaxgan``.

    The programs used longest ago are removed when the folder reaches its maximum size. A folder that the
    user has configured in JAX takes precedence, and then nothing is changed. Nothing is kept if no private
    folder is available (see :func:`experiments.cli.cache.folder`). A program whose file cannot be read or
    written is compiled as if it were not in the cache.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    # JAX's cache keys include the processor, but not the number of cores that XLA has split a program for.
    folder = cache.folder(f"compilations-{host.count_cores()}-cores")
    if folder is None:
        return
    try:
        _remove_unfinished(folder)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
