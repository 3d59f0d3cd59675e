"""The source of the pictures in a folder."""

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxgan.data import metadata, splits
from jaxgan.data.arrays import ArrayExamples
from jaxgan.data.images import MEMORY_LIMIT, fit, image_shape
from jaxgan.data.source import Source, Spec, from_examples, make_spec
from jaxgan.errors import SetupError


def _decode(path: Path, size: int, channels: int) -> np.ndarray:
    with Image.open(path) as image:
        return fit(image, size, channels)


def find(path: Path) -> list[Path]:
    """Returns the sorted files below a folder whose endings Pillow can read; skips hidden files."""
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
    """Random access to pictures that are decoded at each use."""

    def __init__(
        self, files: list[Path], columns: Mapping[str, np.ndarray], decode: Callable[[Path], np.ndarray]
    ):
        self._files, self._columns, self._decode = files, columns, decode

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        real = np.stack([self._decode(self._files[i]) for i in indices])
        return {"real": real, **{name: column[indices] for name, column in self._columns.items()}}


class _Listing(NamedTuple):
    """The contents of a folder, found without decoding its pictures.

    Attributes:
      files: Files of the N pictures.
      names: Paths of the N pictures below the folder, without their endings.
      columns: Arrays of shape (N, ...) with the fields of the samples other than the picture.
      spec: Spec of the source.
      captions: N texts; None if the folder has no texts.
    """

    files: list[Path]
    names: list[str]
    columns: dict[str, np.ndarray]
    spec: Spec
    captions: tuple[str, ...] | None


def _list(path: str | None, size: int, channels: int) -> _Listing:
    if not path:
        raise SetupError('data.path is empty: data.name "folder" needs --config.data.path=FOLDER')
    root = Path(path).expanduser()
    if not root.is_dir():
        raise SetupError(f"data.path {str(path)!r} is not a folder: give one that holds images")
    files = find(root)
    if not files:
        raise SetupError(f"data.path {str(path)!r} holds no images: put .png or .jpg files in it")
    places = [file.relative_to(root) for file in files]
    folders, labels = np.unique([str(place.parent) for place in places], return_inverse=True)
    columns = {"labels": labels.astype(np.int32)}
    captions: tuple[str, ...] | None = None
    attributes: tuple[str, ...] = ()
    if (root / metadata.NAME).is_file():
        found = metadata.read(root / metadata.NAME, [place.as_posix() for place in places])
        captions, attributes = found.captions, found.names
        if attributes:
            columns["attributes"] = found.attributes
    spec = make_spec(
        image_shape(size, channels),
        labelled=True,
        classes=len(folders),
        attributes=attributes,
        class_names=folders.tolist(),
    )
    return _Listing(files, [place.with_suffix("").as_posix() for place in places], columns, spec, captions)


def folder_spec(*, path: str | None = None, size: int, channels: int, split: str | None = None) -> Spec:
    """Returns the spec of :func:`from_folder`; files are listed but not decoded.

    Without a path, the number of classes is None, so that a dry run needs no pictures.

    Raises:
      SetupError: There is no such folder or split, or the folder has no pictures or malformed metadata.
    """
    if not path:
        return make_spec(image_shape(size, channels), labelled=True)
    listing = _list(path, size, channels)
    chosen = splits.choose(splits.hashed(listing.names), split) if split else np.arange(len(listing.files))
    return _of_chosen(listing, chosen)


def _of_chosen(listing: _Listing, chosen: np.ndarray) -> Spec:
    """Returns the spec of the chosen files of a folder; it has all classes of the folder."""
    counts = np.bincount(listing.columns["labels"][chosen], minlength=listing.spec.classes or 0)
    return listing.spec._replace(class_counts=tuple(counts.tolist()))


def _decode_all(
    files: list[Path], decode: Callable[[Path], np.ndarray], *, keep: bool, skip_bad: bool
) -> tuple[list[int], list[np.ndarray]]:
    """Decodes every file once; returns the indices of the good files, and their pictures if ``keep``."""

    def attempt(file: Path) -> tuple[np.ndarray | None, Exception | None]:
        try:
            image = decode(file)
        except Exception as error:  # Pillow's plugins raise many kinds of errors for bad bytes.
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
    return good, [image for image, _ in results if image is not None]


def from_folder(
    *,
    path: str | None = None,
    size: int,
    channels: int,
    skip_bad: bool = False,
    split: str | None = None,
) -> Source:
    """Makes a source of the pictures below a folder, in any format Pillow reads; sub-folders are labels.

    Every file is decoded once before training, so that a bad file cannot stop training later. If the folder
    holds a file ``metadata.csv``, its texts are captions and its numbers are attributes, see
    ``jaxgan.data.metadata``.

    Args:
      path: Path of the folder.
      size: Side in pixels to which pictures are centre-cropped and resized with antialiasing.
      channels: 1 for grey, 3 for colour.
      skip_bad: Whether files that cannot be decoded are left out and counted.
      split: ``train`` (80 %), ``validation`` (10 %), ``test`` (10 %), or a slice of one; None for all.
        A hash of the path of a file below the folder, without its ending, decides the split of the file.

    Returns:
      The source; label k is the k-th sub-folder (at any depth) that holds pictures, in sorted order. The
      ``class_counts`` of its spec include files that are left out.

    Raises:
      SetupError: There is no such folder or split, the folder has no pictures or malformed metadata, or a
        picture cannot be decoded.
    """
    listing = _list(path, size, channels)
    parts = splits.hashed(listing.names)
    chosen = splits.choose(parts, split) if split else np.arange(len(listing.files))
    spec = _of_chosen(listing, chosen)
    decode = functools.partial(_decode, size=size, channels=channels)
    keep = len(chosen) * size * size * channels <= MEMORY_LIMIT
    files = [listing.files[i] for i in chosen]
    good, images = _decode_all(files, decode, keep=keep, skip_bad=skip_bad)
    if not good:
        raise SetupError(f"data.path {str(path)!r} holds no image that can be decoded")
    chosen = chosen[good]
    columns = {name: column[chosen] for name, column in listing.columns.items()}
    examples: Any
    if keep:
        examples = ArrayExamples({"real": np.stack(images), **columns})
    else:
        examples = FolderExamples([files[i] for i in good], columns, decode)
    captions = None if listing.captions is None else tuple(listing.captions[i] for i in chosen)
    source = from_examples(examples, spec, captions=captions, splits={} if split else _among(parts, chosen))
    return source._replace(num_skipped=len(files) - len(good))


def _among(parts: Mapping[str, np.ndarray], kept: np.ndarray) -> dict[str, np.ndarray]:
    """Converts splits of all files to indices into the kept files, whose numbers ``kept`` are ascending."""
    return {name: np.searchsorted(kept, part[np.isin(part, kept)]) for name, part in parts.items()}
