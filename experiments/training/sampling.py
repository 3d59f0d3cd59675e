"""Draws samples from a system's averages, with the conditions that its data has."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import data
from jaxgan.data.source import Conditions
from jaxgan.state import GANState
from jaxgan.steps import CONDITIONS, GAN

Array = jax.Array
PyTree = Any


def domain_of(name: str) -> str:
    """Returns the field of real samples that a named part of samples is to look like.

    >>> [domain_of(name) for name in ("a", "a_to_b", "a_cycle")]
    ['a', 'b', 'a']
    """
    return name.rpartition("_to_")[2].removesuffix("_cycle")


# sampler(state, key, rows, **given) -> samples
Sampler = Callable[..., PyTree]


def asked_by(conditions: Conditions) -> list[str]:
    """Returns the names of the conditions that data asks for by itself."""
    shape = jax.ShapeDtypeStruct((1,), jnp.int32)
    return list(jax.eval_shape(conditions, jax.random.key(0), shape))


def missing(gan: GAN, conditions: Conditions) -> list[str]:
    """Returns the fields of real samples that a system reads when it samples."""
    return [name for name in gan.reads if name not in asked_by(conditions)]


def of_sources(gan: GAN, source: data.Source, rows: np.ndarray) -> dict[str, Array]:
    """Returns the real samples that a system reads when it samples, for each row those of its number.

    Args:
      gan: the system.
      source: open, in its own order; rows beyond its length begin again.
      rows: (B,).
    """
    if not (names := missing(gan, source.conditions)):
        return {}
    indices = np.asarray(rows)
    if source.num_examples is not None:
        indices = indices % source.num_examples
    raw = {name: values[None] for name, values in source.examples[indices].items()}
    prepared = jax.jit(source.prepare)(raw)
    return {name: prepared[name][0] for name in names}


def sampler(gan: GAN, conditions: Conditions) -> Sampler:
    """Returns ``sample(state, key, rows, given)``: samples for (B,) rows, traceable.

    ``given`` holds conditions that take the place of those the data would ask for, and others that a
    system reads: ``truncation``, ``z``, real samples.

    Args:
      gan: the system.
      conditions: ``conditions(key, rows)``, see ``data.Source``.
    """

    def sample(state: GANState, key: Array, rows: Array, given: Mapping[str, Array]) -> PyTree:
        asked = conditions(jax.random.fold_in(key, CONDITIONS), rows)
        return gan.sample(state, key, {**asked, **given})

    return sample


def labels_of(conditions: Conditions) -> Callable[[Array, Array], Array]:
    """Returns ``labels(key, rows)``, the classes that :func:`sampler` asks for."""
    return lambda key, rows: conditions(jax.random.fold_in(key, CONDITIONS), rows)["labels"]


def drawer(
    gan: GAN, source: data.Source, *, seed_key: Array, rows: np.ndarray
) -> Callable[[GANState], PyTree]:
    """Returns a compiled function of a state to its samples, always of the same latents and conditions.

    Args:
      gan: the system.
      source: open.
      seed_key: key of the latents.
      rows: (B,), whose samples are drawn.
    """
    sample = jax.jit(sampler(gan, source.conditions))
    given = of_sources(gan, source, rows)
    return functools.partial(_draw, sample, seed_key, jnp.asarray(rows), given)


def _draw(sample: Sampler, key: Array, rows: Array, given: Mapping[str, Array], state: GANState) -> PyTree:
    return jax.tree.map(np.asarray, sample(state, key, rows, given))
