"""Latent codes, drawn from one key per sample so that they do not depend on the number of devices.

A sample's randomness depends only on its position in the global batch (``rows``): a device that holds rows
8 to 15 draws the same codes for them as a single device that holds all rows. Under ``jit`` the codes are
sharded like the rows; under ``pmap`` no axis name is needed.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Array = jax.Array


def row_keys(key: Array, rows: Array) -> Array:
    """Returns one PRNG key per sample: the key folded with each sample's position in the global batch.

    Args:
      key: A single PRNG key.
      rows: (B,) integer positions in the global batch.

    Returns:
      (B,) PRNG keys.

    Raises:
      AssertionError: ``rows`` is not a vector of integers.
    """
    chex.assert_rank(rows, 1)
    chex.assert_type(rows, int)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, rows)


def normal(keys: Array, *, dim: int, truncation: Array | float | None = None) -> Array:
    """Draws standard normal codes, optionally truncated: z ~ N(0, I) given |z_i| ≤ truncation.

    Args:
      keys: (B,) PRNG keys, see :func:`row_keys`.
      dim: Length of a code.
      truncation: Bound on every coordinate, in standard deviations, a scalar or (B,); None for no bound.

    Returns:
      (B, dim) float32 codes.

    References:
      Brock et al., 2019, section 3.1 (the truncation trick), https://arxiv.org/abs/1809.11096
    """
    if truncation is None:
        return jax.vmap(lambda key: jax.random.normal(key, (dim,)))(keys)
    bounds = jnp.broadcast_to(jnp.asarray(truncation, jnp.float32), keys.shape)
    return jax.vmap(lambda key, bound: jax.random.truncated_normal(key, -bound, bound, (dim,)))(
        keys, bounds
    )


def uniform(keys: Array, *, dim: int, truncation: Array | float | None = None) -> Array:
    """Draws codes uniform on [−1, 1), as in DCGAN, optionally truncated to |z_i| ≤ truncation ≤ 1.

    Args:
      keys: (B,) PRNG keys, see :func:`row_keys`.
      dim: Length of a code.
      truncation: Bound on every coordinate, a scalar or (B,); None for 1.

    Returns:
      (B, dim) float32 codes.

    References:
      Radford et al., 2016, section 4, https://arxiv.org/abs/1511.06434
    """
    bounds = jnp.broadcast_to(1.0 if truncation is None else jnp.minimum(truncation, 1.0), keys.shape)
    return jax.vmap(lambda key, bound: jax.random.uniform(key, (dim,), minval=-bound, maxval=bound))(
        keys, bounds
    )


PRIORS: dict[str, Callable[..., Array]] = {"normal": normal, "uniform": uniform}
