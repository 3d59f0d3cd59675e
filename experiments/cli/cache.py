"""The user's cache folder, which holds files that can be made again at any time."""

import os
from pathlib import Path


def folder(name: str) -> Path | None:
    """Returns the folder ``$XDG_CACHE_HOME/jaxgan/NAME`` and makes it if it does not exist.

    ``XDG_CACHE_HOME`` defaults to ``~/.cache``.

    Args:
      name: Name of the folder.

    Returns:
      The folder, or None if it cannot be made or if other users may write to ``jaxgan``, because they could
      then decide which programs run and which weights score a run. On Windows, where the owner of a folder
      is not known, the result is always None.
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
