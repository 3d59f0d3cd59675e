"""A person's own folder of pictures."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.arrays import from_arrays
from jaxgan.data.images import fit
from jaxgan.data.source import Source, from_examples
from jaxgan.errors import SetupError

# Decoded pictures up to this many bytes are kept in memory, more are read again at each use.
MEMORY_LIMIT = 4 * 2**30


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    with Image.open(path) as image:
        return fit(image, size, channels)


def find(path: Path) -> list[Path]:
    """Every file below a folder whose ending Pillow can read, sorted; hidden files are left out."""
    Image.init()
    endings = {ending for ending, name in Image.registered_extensions().items() if name in Image.OPEN}
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in endings
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


class FolderExamples:
    """Random access to pictures decoded at each use."""

    def __init__(self, files: list[Path], labels: np.ndarray, decode: Callable[[Path], np.ndarray]):
        self._files, self._labels, self._decode = files, labels, decode

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        real = np.stack([self._decode(self._files[i]) for i in indices])
        return {"real": real, "labels": self._labels[indices]}


def from_folder(*, path: str | None, size: int, channels: int, skip_bad: bool = False, **_: Any) -> Source:
    """A source of the pictures below a folder, in any format Pillow reads; sub-folders are labels.

    Every file is decoded once before training, so that none can stop it later.

    Args:
      path: the folder.
      size: side to which pictures are centre-cropped and resized (antialiased), in pixels.
      channels: 1 for grey, 3 for colour.
      skip_bad: whether files that cannot be decoded are left out and counted.

    Returns:
      The source; label k is the k-th sub-folder (at any depth) in sorted order.

    Raises:
      SetupError: there is no such folder, it holds no pictures, or one cannot be decoded.
    """
    if not path:
        raise SetupError('data.path is empty: data.name "folder" needs --config.data.path=FOLDER')
    root = Path(path).expanduser()
    if not root.is_dir():
        raise SetupError(f"data.path {str(path)!r} is not a folder: give one that holds images")
    files = find(root)
    if not files:
        raise SetupError(f"data.path {str(path)!r} holds no images: put .png or .jpg files in it")
    decode = functools.partial(_decode, size=size, channels=channels)
    keep = len(files) * size * size * channels <= MEMORY_LIMIT

    def attempt(file: Path) -> tuple[np.ndarray | None, Exception | None]:
        try:
            image = decode(file)
        except Exception as error:  # Pillow's plugins raise whatever they like on bad bytes
            return None, error
        return (image if keep else None), None

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, files))
    errors = [(file, error) for file, (_, error) in zip(files, results, strict=True) if error]
    if errors and not skip_bad:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise SetupError(
            f"{errors[0][0]} cannot be decoded{more}: {errors[0][1]}; mend or remove it, or leave such"
            " files out with --config.data.skip_bad=True"
        )
    good = [i for i, (_, error) in enumerate(results) if error is None]
    if not good:
        raise SetupError(f"data.path {str(path)!r} holds no image that can be decoded")
    folders = [str(files[i].parent.relative_to(root)) for i in good]
    labels = np.unique(folders, return_inverse=True)[1].astype(np.int32)
    if keep:
        source = from_arrays(np.stack([image for image, _ in results if image is not None]), labels)
    else:
        examples = FolderExamples([files[i] for i in good], labels, decode)
        source = from_examples(examples, (size, size, channels))
    return source._replace(num_skipped=len(errors))
