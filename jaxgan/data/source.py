"""Sources of batches, each a grain ``MapDataset`` whose element t is the batch of step t.

Random access makes a batch a pure function of (seed, t), so a resumed run reads the batches of its
remaining steps and needs no iterator state. Cheap work is done inside the compiled step by ``prepare``:
images reach the device as uint8, and samples of problems as the numbers from which they are drawn.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.problems.points import Problem
from jaxgan.errors import SetupError, unknown
from jaxgan.latents import row_keys

Array = jax.Array

ENDLESS = 2**48  # Number of samples of a stream without end.


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Returns whether a sample of this shape is an image, (H, W, C)."""
    return len(shape) == 3


class Spec(NamedTuple):
    """The fields of a source's batches, known before its data is opened.

    Attributes:
      fields: Shape of one sample and dtype of every field of a prepared batch, by name. There is always
        ``row``, of shape () and type int32, and usually ``real``.
      classes: Number of classes of ``labels``; None if there are no labels or their number is not known.
      attributes: Names of the columns of the field ``attributes``; empty if there is no such field.
      class_names: Name of each class; empty if the classes have no names.
      class_counts: Number of examples of each class; empty if the numbers are not known.
      label_distribution: Distribution of the labels that fakes are generated for: ``uniform`` over the
        classes, or ``data``, in proportion to ``class_counts``.
    """

    fields: Mapping[str, jax.ShapeDtypeStruct]
    classes: int | None = None
    attributes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    class_counts: tuple[int, ...] = ()
    label_distribution: str = "uniform"

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class, which is its number if it has no name; empty without known classes."""
        return self.class_names or tuple(map(str, range(self.classes or 0)))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample of ``real``, or of the first float field if there is no ``real``."""
        floats = [x for x in self.fields.values() if jnp.issubdtype(x.dtype, jnp.floating)]
        return tuple((self.fields["real"] if "real" in self.fields else floats[0]).shape)

    @property
    def images(self) -> bool:
        """Whether the samples are images, of shape (H, W, C), and not points."""
        return is_image_shape(self.shape)

    def zeros(self, *axes: int) -> dict[str, Array]:
        """Returns a batch of zeros with leading axes such as ``zeros(n_critic, batch_size)``."""
        return {name: jnp.zeros((*axes, *x.shape), x.dtype) for name, x in self.fields.items()}


def make_spec(
    shape: tuple[int, ...],
    *,
    labelled: bool = False,
    classes: int | None = None,
    attributes: tuple[str, ...] = (),
    class_names: Sequence[str] = (),
    class_counts: Iterable[int] = (),
) -> Spec:
    """Makes the spec of a source whose samples are called ``real``.

    Args:
      shape: Shape of one sample of ``real``, which is float32.
      labelled: Whether there is a field ``labels``.
      classes: Number of classes of ``labels``; None if it is not known.
      attributes: Names of the columns of the field ``attributes``; empty for no such field.
      class_names: Name of each class; empty if the classes have no names.
      class_counts: Number of examples of each class; empty if the numbers are not known.

    Returns:
      The spec.
    """
    fields = {"real": jax.ShapeDtypeStruct(tuple(shape), jnp.float32)}
    if labelled:
        fields["labels"] = jax.ShapeDtypeStruct((), jnp.int32)
    if attributes:
        fields["attributes"] = jax.ShapeDtypeStruct((len(attributes),), jnp.float32)
    fields["row"] = jax.ShapeDtypeStruct((), jnp.int32)
    counts = tuple(int(count) for count in class_counts)
    return Spec(fields, classes, attributes, tuple(class_names), counts)


LABEL_DISTRIBUTIONS = ("uniform", "data")


def with_label_distribution(spec: Spec, name: str, distribution: Any) -> Spec:
    """Returns a spec with another distribution of the labels that fakes are generated for.

    Args:
      spec: Spec of a source.
      name: Name of the source.
      distribution: One of ``LABEL_DISTRIBUTIONS``, see ``Spec.label_distribution``.

    Raises:
      SetupError: There is no such distribution, or the number of examples of each class is not known.
    """
    if distribution not in LABEL_DISTRIBUTIONS:
        raise unknown("data.label_distribution", distribution, LABEL_DISTRIBUTIONS)
    if distribution == "data" and not spec.class_counts:
        raise SetupError(
            "data.label_distribution is 'data': how many examples of each class are in"
            f" {name} is not known before it is opened, give 'uniform'"
        )
    return spec._replace(label_distribution=distribution)


Conditions = Callable[[Array, Array], dict[str, Array]]


def make_conditions(spec: Spec) -> Conditions:
    """Makes the function ``conditions(key, rows)`` of a source, see ``Source.conditions``.

    Args:
      spec: Spec of the source. If its number of classes is known, labels are drawn from its
        ``label_distribution``.

    Returns:
      The function; it can be traced.
    """

    def draw(key: Array) -> Array:
        if spec.label_distribution == "uniform":
            return jax.random.randint(key, (), 0, len(spec.names), jnp.int32)
        # An example is drawn from the examples in the order of their labels, so the shares are exact.
        ends = np.cumsum(np.asarray(spec.class_counts, np.int32), dtype=np.int32)
        example = jax.random.randint(key, (), 0, ends[-1], jnp.int32)
        return jnp.searchsorted(jnp.asarray(ends), example, side="right").astype(jnp.int32)

    def conditions(key: Array, rows: Array) -> dict[str, Array]:
        asked = {"row": jnp.asarray(rows, jnp.int32)}
        if spec.classes is not None:
            asked["labels"] = jax.vmap(draw)(row_keys(key, rows))
        return asked

    return conditions


class Source(NamedTuple):
    """A stream of batches.

    Attributes:
      batches: Function ``batches(seed=, n_critic=, batch_size=)`` that returns a ``MapDataset``. Element t
        is a dict of arrays of shape (n_critic, B, ...), where B is the share of this process in the global
        batch. ``row``, int32, is the place of each sample in the global batch.
      prepare: Function traced inside the train step that converts such a batch to the fields of ``spec``,
        which losses read: ``real``, float32, with images in [−1, 1], ``row``, and ``labels``, int32, if
        the source has labels.
      spec: Fields of a prepared batch.
      conditions: Traceable function ``conditions(key, rows)`` that returns the conditions for the
        generator, a dict of (B, ...) arrays for (B,) rows of the global batch. There is always ``row``, and
        also ``labels``, int32, if the real data has labels with a known number of classes. A condition
        depends on the key and its own row, and never on other rows.
      num_examples: Number of distinct samples; None if the source is endless.
      num_skipped: Number of files left out because they could not be decoded.
      problem: Distribution of the points, with its density and modes; None for images.
      examples: Random access to samples in a fixed order, by (B,) indices to a dict of (B, ...) arrays.
        ``prepare`` accepts these arrays after a leading axis for n_critic is added. Images are ``real``,
        uint8; ``row`` is the index. ``len`` gives the number of examples if it is finite.
      captions: One text per example, empty for an example without a text; None if the source has no texts.
      splits: Indices of the examples of each split, in the order of the split, by name; empty if the source
        has no splits.
    """

    batches: Callable[..., grain.MapDataset]
    prepare: Callable[[Mapping[str, Array]], dict[str, Array]]
    spec: Spec
    conditions: Conditions
    examples: Any
    num_examples: int | None = None
    num_skipped: int = 0
    problem: Problem | None = None
    captions: tuple[str, ...] | None = None
    splits: Mapping[str, np.ndarray] = MappingProxyType({})

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: (H, W, C), or (dim,) for points."""
        return self.spec.shape


class Chosen:
    """Random access to chosen examples in a given order; ``row`` is the place of a sample in that order."""

    def __init__(self, examples: Any, indices: np.ndarray):
        self._examples, self._indices = examples, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {**self._examples[self._indices[indices]], "row": np.asarray(indices, np.int32)}


def image_batches(examples: Any, *, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
    """Makes batches from examples with random access, which are reshuffled in every epoch.

    The last examples of an epoch share a batch with the first examples of the next epoch.

    Args:
      examples: Examples with ``len``, indexed by (B,) indices to a dict of (B, ...) arrays, such as
        ``real``.
      seed: Seed of the shuffle.
      n_critic: Number of critic updates per step.
      batch_size: Global batch size. Each of several processes gets its own consecutive rows.

    Returns:
      The endless dataset of batches.
    """
    process, processes = jax.process_index(), jax.process_count()
    local = batch_size // processes
    rows = np.arange(process * local, (process + 1) * local, dtype=np.int32)
    # The repeats are finite because the length of grain's endless repeat overflows when it is sliced.
    epochs = ENDLESS // len(examples)
    # The stream is cut into local batches, and batches h, h + H, h + 2H, ... are the parts of host h in the
    # global batches 0, 1, 2, ...
    # grain shuffles indices only, and a whole batch is read at once, because grain's bookkeeping for each
    # element costs more than reading one sample.
    return (
        grain.MapDataset.range(len(examples))
        .seed(seed)
        .shuffle()
        .repeat(epochs)
        .batch(local)[process::processes]
        .map(lambda indices: {**examples[indices], "row": rows})
        .batch(n_critic)
    )


def from_examples(
    examples: Any,
    spec: Spec,
    *,
    captions: tuple[str, ...] | None = None,
    splits: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> Source:
    """Makes a source of images from examples with random access.

    Args:
      examples: Examples with ``len``, indexed by (B,) indices to a dict of (B, ...) arrays: ``real``,
        uint8, and the other fields of the spec.
      spec: Spec of the prepared batches.
      captions: Captions, see ``Source.captions``.
      splits: Splits, see ``Source.splits``.

    Returns:
      The source.
    """
    examples = Chosen(examples, np.arange(len(examples)))
    return Source(
        batches=functools.partial(image_batches, examples),
        prepare=to_float,
        spec=spec,
        conditions=make_conditions(spec),
        examples=examples,
        num_examples=len(examples),
        captions=captions,
        splits=splits,
    )


def to_float(batch: Mapping[str, Array]) -> dict[str, Array]:
    """Converts uint8 images to float32 in [−1, 1]: x / 127.5 − 1."""
    return {**batch, "real": batch["real"].astype(jnp.float32) / 127.5 - 1.0}


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts float images in [−1, 1] to rounded and clipped uint8, the inverse of ``to_float``.

    >>> to_uint8(np.array([-1.0, 0.0, 1.0, 1.5]))
    array([  0, 128, 255, 255], dtype=uint8)
    """
    return np.clip(np.rint((np.asarray(images) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def iterate(batches: grain.MapDataset, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
    """Returns an iterator over the batches of steps start to stop − 1, read ahead in threads."""
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return iter(batches[start:stop].to_iter_dataset(options))
