"""Files that are written whole or not at all; several processes may write the same one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives another name to write a file under; what is there in the end takes the file's place.

    Args:
      path: the file, in a folder that exists.

    Raises:
      OSError: it cannot be written; nothing is left, and what stood there stays.
    """
    partial = _partial(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Writes a file.

    Raises:
      OSError: it cannot be written.
    """
    with whole(path) as partial:
        partial.write_bytes(content)


def check_writable(path: Path) -> None:
    """Finds out whether a file could be written, and leaves everything as it is.

    Raises:
      OSError: it could not.
    """
    if path.is_dir():
        raise IsADirectoryError("it is a folder")
    partial = _partial(path)
    try:
        partial.write_bytes(b"")
    finally:
        partial.unlink(missing_ok=True)
