"""Pools: memories of past fakes that replace fresh ones in the critic's updates."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.hyper import Count, Unit

Array = jax.Array
PyTree = Any

POOL = "pool"  # key of a system's pool in ``GANState.extra``


class Pool(NamedTuple):
    """A memory of fakes.

    Attributes:
      init: ``init(fakes) -> memory``, returns an empty memory for a pytree of (B, ...) arrays or their
        shapes.
      exchange: ``exchange(memory, fakes, keys) -> (shown, memory)``, returns the fakes that the critic is
        shown instead of the fresh ones, drawn with (B,) PRNG keys, and the memory updated with the fresh
        fakes.
    """

    init: Callable[[PyTree], PyTree]
    exchange: Callable[[PyTree, PyTree, Array], tuple[PyTree, PyTree]]


def _choose(rows: Array, a: Array, b: Array) -> Array:
    return jnp.where(rows.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def replay(*, size: Count, share: Unit) -> Pool:
    """Replaces a share of the fresh fakes with past ones.

    The memory is a ring buffer: every critic update overwrites the oldest entries with its fresh fakes,
    those of the global batch. Past fakes are drawn uniformly from the buffer, with replacement. While the
    buffer is empty, all fakes are fresh.

    Args:
      size: Size of the buffer, in samples; of a larger batch, only the last ``size`` samples are kept
        (static).
      share: Probability that a fake comes from the buffer (Shrivastava et al.: half of the batch).

    Returns:
      The pool.

    References:
      Shrivastava et al., 2017, Learning from Simulated and Unsupervised Images through Adversarial
      Training, section 2.3, https://arxiv.org/abs/1612.07828
    """

    def init(fakes: PyTree) -> PyTree:
        samples = jax.tree.map(lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), fakes)
        return {"samples": samples, "next": jnp.int32(0), "filled": jnp.int32(0)}

    def exchange(ring: PyTree, fakes: PyTree, keys: Array) -> tuple[PyTree, PyTree]:
        def draw(key: Array) -> tuple[Array, Array]:
            whether, which = jax.random.split(key)
            index = jax.random.randint(which, (), 0, jnp.maximum(ring["filled"], 1))
            return (jax.random.uniform(whether) < share) & (ring["filled"] > 0), index

        replayed, index = jax.vmap(draw)(keys)
        shown = jax.tree.map(lambda x, y: _choose(replayed, x[index], y), ring["samples"], fakes)
        # The buffers must be the same on every device.
        kept = jax.tree.map(lambda x: parallel.global_rows(jax.lax.stop_gradient(x))[-size:], fakes)
        count = len(jax.tree.leaves(kept)[0])
        slots = (ring["next"] + jnp.arange(count)) % size
        return shown, {
            "samples": jax.tree.map(lambda x, y: x.at[slots].set(y), ring["samples"], kept),
            "next": (ring["next"] + count) % size,
            "filled": jnp.minimum(ring["filled"] + count, size),
        }

    return Pool(init, exchange)


def history(*, size: Count = 50) -> Pool:
    """Replaces half of the fresh fakes with random past ones and stores those fresh fakes in their place.

    Until the memory is full, fresh fakes are both stored and shown. After that, each fake is exchanged with
    probability ½ for a random one from the memory. The rows of a batch are processed in order, as if they
    arrived one by one; under ``pmap`` the rows of the whole global batch are processed on each device.

    Args:
      size: Size of the memory, in samples (static).

    Returns:
      The pool.

    References:
      Zhu et al., 2017, Unpaired Image-to-Image Translation, section 4, https://arxiv.org/abs/1703.10593
    """

    def init(fakes: PyTree) -> PyTree:
        samples = jax.tree.map(lambda x: jnp.zeros((size, *x.shape[1:]), x.dtype), fakes)
        return {"samples": samples, "filled": jnp.int32(0)}

    def exchange(memory: PyTree, fakes: PyTree, keys: Array) -> tuple[PyTree, PyTree]:
        local = len(keys)
        everyone = jax.tree.map(lambda x: parallel.global_rows(jax.lax.stop_gradient(x)), fakes)
        data = parallel.global_rows(jax.random.key_data(keys))

        def one(memory: PyTree, row: tuple[PyTree, Array]) -> tuple[PyTree, PyTree]:
            fake, key_data = row
            whether, which = jax.random.split(jax.random.wrap_key_data(key_data))
            full = memory["filled"] >= size
            swap = full & (jax.random.uniform(whether) < 0.5)
            slot = jnp.where(full, jax.random.randint(which, (), 0, size), memory["filled"])
            shown = jax.tree.map(lambda x, y: jnp.where(swap, x[slot], y), memory["samples"], fake)
            stored = ~full | swap
            samples = jax.tree.map(
                lambda x, y: x.at[slot].set(jnp.where(stored, y, x[slot])), memory["samples"], fake
            )
            filled = jnp.minimum(memory["filled"] + 1, size)
            return {"samples": samples, "filled": filled}, (shown, swap)

        memory, (shown, swapped) = jax.lax.scan(one, memory, (everyone, data))
        first = parallel.first_row(local)
        mine, rows = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, first, local), (shown, swapped))
        # Fresh fakes are passed through unchanged, so that gradients can flow through them.
        return jax.tree.map(lambda x, y: _choose(rows, x, y), mine, fakes), memory

    return Pool(init, exchange)
