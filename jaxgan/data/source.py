"""Where batches come from: a grain ``MapDataset`` whose element t is step t's batch.

Random access makes a batch a pure function of (seed, t): a resumed run asks for the steps it lacks and
needs no iterator state. What is cheap is done inside the compiled step, by ``prepare``: images travel as
uint8, and problems travel as the numbers of their samples.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.problems.points import Problem
from jaxgan.latents import row_keys

Array = jax.Array

ENDLESS = 2**48  # samples


class Spec(NamedTuple):
    """What a source's batches look like, known before its data is opened.

    Attributes:
      fields: by name, the shape of one sample and the dtype of every field of a prepared batch. There is
        always ``row``, of shape () and type int32; usually there is ``real``.
      classes: how many classes ``labels`` takes; None where there are no labels, or nobody knows.
      attributes: the names of the columns of the field ``attributes``; empty where there is none.
    """

    fields: Mapping[str, jax.ShapeDtypeStruct]
    classes: int | None = None
    attributes: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample: of ``real``, or of the first float field where there is no ``real``."""
        floats = [x for x in self.fields.values() if jnp.issubdtype(x.dtype, jnp.floating)]
        return tuple((self.fields["real"] if "real" in self.fields else floats[0]).shape)

    @property
    def images(self) -> bool:
        """Whether the samples are images, (H, W, C); points are not."""
        return len(self.shape) == 3

    def zeros(self, *axes: int) -> dict[str, Array]:
        """A batch of zeros with these leading axes, e.g. ``zeros(n_critic, batch_size)``."""
        return {name: jnp.zeros((*axes, *x.shape), x.dtype) for name, x in self.fields.items()}


def make_spec(
    shape: tuple[int, ...],
    *,
    labelled: bool = False,
    classes: int | None = None,
    attributes: tuple[str, ...] = (),
) -> Spec:
    """Makes the spec of a source of one kind of sample.

    Args:
      shape: of ``real``, float32.
      labelled: whether there is a field ``labels``.
      classes: how many classes it takes, if that is known.
      attributes: names of the columns of the field ``attributes``; with none there is no such field.

    Returns:
      The spec.
    """
    fields = {"real": jax.ShapeDtypeStruct(tuple(shape), jnp.float32)}
    if labelled:
        fields["labels"] = jax.ShapeDtypeStruct((), jnp.int32)
    if attributes:
        fields["attributes"] = jax.ShapeDtypeStruct((len(attributes),), jnp.float32)
    fields["row"] = jax.ShapeDtypeStruct((), jnp.int32)
    return Spec(fields, classes, attributes)


Conditions = Callable[[Array, Array], dict[str, Array]]


def make_conditions(spec: Spec) -> Conditions:
    """Makes the function ``conditions(key, rows)`` of a source, see ``Source.conditions``.

    Args:
      spec: of the source. If the number of its classes is known, labels are drawn uniformly from them.

    Returns:
      The function; it can be traced.
    """
    classes = spec.classes

    def conditions(key: Array, rows: Array) -> dict[str, Array]:
        asked = {"row": jnp.asarray(rows, jnp.int32)}
        if classes is not None:
            keys = row_keys(key, rows)
            asked["labels"] = jax.vmap(lambda k: jax.random.randint(k, (), 0, classes, jnp.int32))(keys)
        return asked

    return conditions


class Source(NamedTuple):
    """A stream of batches.

    Attributes:
      batches: ``batches(seed=, n_critic=, batch_size=)``, a ``MapDataset`` whose element t is a dict of
        arrays of shape (n_critic, B, ...), B being this process's share of the global batch. ``row``,
        int32, is each sample's place in the global batch.
      prepare: traced inside the train step; turns such a batch into what losses read, the fields of
        ``spec``: ``real``, float32, images in [−1, 1], ``row``, and ``labels``, int32, where there are any.
      spec: the fields of a prepared batch.
      conditions: ``conditions(key, rows)``, which can be traced: what is asked of the generator, a dict of
        (B, ...) arrays for (B,) rows of the global batch. There is always ``row``, and ``labels``, int32,
        where real data has labels of a known number of classes. A condition depends on the key and its own
        row, and never on other rows.
      num_examples: how many distinct samples there are, None if endless.
      num_skipped: files left out because they could not be decoded.
      problem: what points are drawn from: its density and its modes; None for images.
      examples: random access to samples in a fixed order: by (B,) indices a dict of (B, ...) arrays, which
        ``prepare`` takes once they have an axis of n_critic in front. Images are ``real``, uint8; ``row``
        is the index. ``len`` gives their number if it is finite.
      captions: one text an example, empty where it has none; None if the source has no texts.
      splits: by name, the indices of the examples of each split, in the split's order; empty if the source
        has none.
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
    """Random access to some of other examples, in an order; ``row`` is a sample's place in it."""

    def __init__(self, examples: Any, indices: np.ndarray):
        self._examples, self._indices = examples, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return {**self._examples[self._indices[indices]], "row": np.asarray(indices, np.int32)}


def image_batches(examples: Any, *, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
    """Batches from examples with random access, reshuffled every epoch, the tail of one joined to the next.

    Args:
      examples: has ``len`` and, by (B,) indices, a dict of (B, ...) arrays: ``real``, perhaps others.
      seed: of the shuffle.
      n_critic: critic updates a step.
      batch_size: global batch size; with several processes each gets its own consecutive rows.

    Returns:
      The dataset of batches, endless.
    """
    process, processes = jax.process_index(), jax.process_count()
    local = batch_size // processes
    rows = np.arange(process * local, (process + 1) * local, dtype=np.int32)
    # Endless for all purposes: grain's own endless repeat has a length that overflows when it is cut up.
    epochs = ENDLESS // len(examples)
    # Elements h, h + H, h + 2H, ... of the stream cut into local batches are host h's part of the
    # global batches 0, 1, 2, ...
    # grain's bookkeeping for a sample costs more than the sample: it shuffles numbers, and a batch is taken
    # at once.
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
    """Makes the source of images with random access.

    Args:
      examples: has ``len`` and, by (B,) indices, a dict of (B, ...) arrays: ``real``, uint8, and what else
        the spec has.
      spec: of the prepared batches.
      captions: see ``Source.captions``.
      splits: see ``Source.splits``.

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
    """uint8 images to float32 in [−1, 1]: x / 127.5 − 1."""
    return {**batch, "real": batch["real"].astype(jnp.float32) / 127.5 - 1.0}


def to_uint8(images: np.ndarray) -> np.ndarray:
    """float images in [−1, 1] to uint8, rounded, values outside clipped: the inverse of ``to_float``.

    >>> to_uint8(np.array([-1.0, 0.0, 1.0, 1.5]))
    array([  0, 128, 255, 255], dtype=uint8)
    """
    return np.clip(np.rint((np.asarray(images) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def iterate(batches: grain.MapDataset, start: int, stop: int) -> Iterator[dict[str, np.ndarray]]:
    """The batches of steps start to stop − 1, read ahead in background threads."""
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return iter(batches[start:stop].to_iter_dataset(options))
