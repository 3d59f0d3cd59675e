"""Atomic file writes: a file is written completely or not at all, even by several processes at once."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; on success, the file written there replaces ``path``.

    Args:
      path: Path of the file to write, in a folder that exists.

    Yields:
      The temporary path, in the same folder.

    Raises:
      OSError: The file cannot be written; no temporary file is left, and any existing file is unchanged.
    """
    partial = _partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Writes a file atomically.

    Raises:
      OSError: The file cannot be written.
    """
    with whole(path) as partial:
        partial.write_bytes(content)


def check_writable(path: Path) -> None:
    """Checks that a file could be written, without changing anything.

    Raises:
      OSError: The file could not be written.
    """
    if path.is_dir():
        raise IsADirectoryError("it is a folder")
    partial = _partial(path)
    try:
        partial.write_bytes(b"")
    finally:
        partial.unlink(missing_ok=True)
