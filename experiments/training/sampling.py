"""Samples of a system's averaged weights, under the conditions that its data has."""

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

# sample(state, key, rows, given) -> samples
Sampler = Callable[..., PyTree]


def domain_of(name: str) -> str:
    """Returns the field of real samples that generated samples of a name imitate.

    >>> [domain_of(name) for name in ("a", "a_to_b", "a_cycle")]
    ['a', 'b', 'a']
    """
    return name.rpartition("_to_")[2].removesuffix("_cycle")


def real_field_names(gan: GAN, conditions: Conditions) -> list[str]:
    """Returns the names of the fields of real samples that a system reads when it samples.

    Args:
      gan: The system.
      conditions: ``conditions(key, rows)``, see ``data.Source``. The system reads other fields from these.
    """
    rows = jax.ShapeDtypeStruct((1,), jnp.int32)
    drawn = jax.eval_shape(conditions, jax.random.key(0), rows)
    return [name for name in gan.reads if name not in drawn]


def real_fields(gan: GAN, source: data.Source, rows: np.ndarray) -> dict[str, Array]:
    """Returns the fields of real samples that a system reads when it samples.

    Args:
      gan: The system.
      source: Open data. Row i reads sample i in the source's order, modulo the number of samples.
      rows: (B,) rows to sample.

    Returns:
      Arrays of shape (B, ...) by name.
    """
    if not (names := real_field_names(gan, source.conditions)):
        return {}
    indices = np.asarray(rows)
    if source.num_examples is not None:
        indices = indices % source.num_examples
    raw = {name: values[None] for name, values in source.examples[indices].items()}
    prepared = jax.jit(source.prepare)(raw)
    return {name: prepared[name][0] for name in names}


def sampler(gan: GAN, conditions: Conditions) -> Sampler:
    """Returns ``sample(state, key, rows, given)``, a traceable function that draws samples for (B,) rows.

    ``given`` holds conditions that replace those drawn by ``conditions``, and other inputs of the system,
    such as ``truncation``, ``z`` or real samples.

    Args:
      gan: The system.
      conditions: ``conditions(key, rows)``, see ``data.Source``.
    """

    def sample(state: GANState, key: Array, rows: Array, given: Mapping[str, Array]) -> PyTree:
        drawn = conditions(jax.random.fold_in(key, CONDITIONS), rows)
        return gan.sample(state, key, {**drawn, **given})

    return sample


def label_sampler(conditions: Conditions) -> Callable[[Array, Array], Array]:
    """Returns ``labels(key, rows)``, the labels that :func:`sampler` draws for the same key and rows."""
    return lambda key, rows: conditions(jax.random.fold_in(key, CONDITIONS), rows)["labels"]


def drawer(
    gan: GAN,
    source: data.Source,
    *,
    seed_key: Array,
    rows: np.ndarray,
    given: Mapping[str, Any] | None = None,
) -> Callable[[GANState], PyTree]:
    """Returns a compiled function that draws samples from a state, with fixed latents and conditions.

    Args:
      gan: The system.
      source: Open data.
      seed_key: PRNG key of the latents.
      rows: (B,) rows to sample.
      given: Conditions that replace those of the data, arrays of shape (B, ...) by name.
    """
    sample = jax.jit(sampler(gan, source.conditions))
    inputs = {**real_fields(gan, source, rows), **(given or {})}
    return functools.partial(_draw, sample, seed_key, jnp.asarray(rows), inputs)


def _draw(sample: Sampler, key: Array, rows: Array, given: Mapping[str, Array], state: GANState) -> PyTree:
    return jax.tree.map(np.asarray, sample(state, key, rows, given))
