"""The user's cache folder: what can be made again at any time."""

import os
from pathlib import Path


def folder(name: str) -> Path | None:
    """``$XDG_CACHE_HOME/jaxgan/NAME``, by default below ``~/.cache``, made if it is not there.

    None where it cannot be had, or others may write to it: who writes there could decide what runs and what
    is scored here. (On Windows, whose owners cannot be told, nothing is kept.)
    """
    if os.name != "posix":
        return None
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgan"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = base.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            return None
        (base / name).mkdir(mode=0o700, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return base / name
