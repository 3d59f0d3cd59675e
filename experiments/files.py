"""Files that are written whole or not at all; several processes may write the same one."""

import os
from pathlib import Path


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def write(path: Path, content: bytes) -> None:
    """Writes a file.

    Raises:
      OSError: it cannot be written.
    """
    partial = _partial(path)
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Finds out, before there is anything to lose, whether :func:`write` could write a file.

    Raises:
      OSError: it could not.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder")
    partial = _partial(path)
    try:
        partial.write_bytes(b"")
    finally:
        partial.unlink(missing_ok=True)
