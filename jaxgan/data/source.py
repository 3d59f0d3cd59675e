"""Where batches come from: a grain ``MapDataset`` whose element t is step t's batch.

Random access makes a batch a pure function of (seed, t): a resumed run asks for the steps it lacks and
needs no iterator state. What is cheap is done inside the compiled step, by ``prepare``: images travel as
uint8, and problems travel as the numbers of their samples.
"""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.points import Problem

Array = jax.Array

ENDLESS = 2**48  # samples


class Source(NamedTuple):
    """A stream of batches.

    Attributes:
      batches: ``batches(seed=, n_critic=, batch_size=)``, a ``MapDataset`` whose element t is a dict of
        arrays of shape (n_critic, B, ...), B being this process's share of the global batch. ``row``,
        int32, is each sample's place in the global batch.
      prepare: traced inside the train step; turns such a batch into what losses read: ``real``,
        float32, images in [−1, 1], ``row``, and ``labels``, int32, where there are any.
      shape: of one sample: (H, W, C), or (dim,) for points.
      num_examples: how many distinct samples there are, None if endless.
      num_skipped: files left out because they could not be decoded.
      problem: what points are drawn from: its density and its modes; None for images.
      examples: random access to images in a fixed order: ``len``, and by (B,) indices a dict of (B, ...)
        arrays, ``real``, uint8, perhaps ``labels``; None for points.
    """

    batches: Callable[..., grain.MapDataset]
    prepare: Callable[[Mapping[str, Array]], dict[str, Array]]
    shape: tuple[int, ...]
    num_examples: int | None = None
    num_skipped: int = 0
    problem: Problem | None = None
    examples: Any = None


def image_batches(examples: Any, *, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
    """Batches from examples with random access, reshuffled every epoch, the tail of one joined to the next.

    Args:
      examples: has ``len`` and, by (B,) indices, a dict of (B, ...) arrays: ``real``, perhaps ``labels``.
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


def from_examples(examples: Any, shape: tuple[int, ...]) -> Source:
    """The source of images with random access, see ``Source.examples``."""
    return Source(
        batches=functools.partial(image_batches, examples),
        prepare=to_float,
        shape=shape,
        num_examples=len(examples),
        examples=examples,
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
