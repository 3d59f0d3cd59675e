"""Problems in the plane, as JAX functions of a key, sampled inside the compiled step."""

from collections.abc import Callable, Mapping
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.source import Source

Array = jax.Array


def ring(key: Array, *, modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Array:
    """A point of the ring of Gaussians: N(c, std² I), c uniform among points evenly set on a circle.

    Args:
      key: a PRNG key.
      modes: Gaussians on the ring.
      radius: of the ring.
      std: of each Gaussian.

    Returns:
      (2,) float32.

    References:
      Metz et al., 2017, Unrolled GANs, appendix A, https://arxiv.org/abs/1611.02163
    """
    which, noise = jax.random.split(key)
    angle = 2 * jnp.pi * jax.random.randint(which, (), 0, modes) / modes
    centre = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return centre + std * jax.random.normal(noise, (2,))


def grid(key: Array, *, side: int = 5, spacing: float = 1.0, std: float = 0.05) -> Array:
    """A point of the grid of side² Gaussians around the origin.

    Args:
      key: a PRNG key.
      side: Gaussians along an edge.
      spacing: between neighbours.
      std: of each Gaussian.

    Returns:
      (2,) float32.

    References:
      Dumoulin et al., 2017, ALI, section 4.2 (25 Gaussians), https://arxiv.org/abs/1606.00704
    """
    which, noise = jax.random.split(key)
    index = jax.random.randint(which, (2,), 0, side).astype(jnp.float32)
    return spacing * (index - (side - 1) / 2) + std * jax.random.normal(noise, (2,))


def from_sampler(sampler: Callable[[Array], Array]) -> Source:
    """An endless source of points.

    Args:
      sampler: a PRNG key to a (2,) point.

    Returns:
      The source. Its batches are numbers: ``key``, the seed's PRNG key data, ``update``, the number of the
      critic's update since the start, and ``row``; the point is a function of the three.
    """

    def batches(*, seed: int, n_critic: int, batch_size: int) -> grain.MapDataset:
        process, processes = jax.process_index(), jax.process_count()
        local = batch_size // processes
        rows = np.arange(process * local, (process + 1) * local, dtype=np.int32)
        # Known to be another stream than the run's own key, which folds in small numbers only.
        key = np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(seed), 0xDA7A)))

        def batch(step: int) -> dict[str, np.ndarray]:
            update = np.arange(step * n_critic, (step + 1) * n_critic, dtype=np.uint32)
            return {
                "key": np.broadcast_to(key, (n_critic, local, *key.shape)),
                "update": np.broadcast_to(update[:, None], (n_critic, local)),
                "row": np.broadcast_to(rows, (n_critic, local)),
            }

        return grain.MapDataset.range(np.iinfo(np.int32).max).map(batch)

    def prepare(batch: Mapping[str, Array]) -> dict[str, Array]:
        def point(key: Array, update: Array, row: Array) -> Array:
            key = jax.random.fold_in(jax.random.wrap_key_data(key), update)
            return sampler(jax.random.fold_in(key, row))

        keys, update, row = batch["key"], batch["update"], batch["row"]
        flat = jax.vmap(jax.vmap(point))(keys, update, row)
        return {"real": flat, "row": row}

    return Source(batches=batches, prepare=prepare, shape=(2,))


def ring_source(**_: Any) -> Source:
    """The ring of 8 Gaussians."""
    return from_sampler(ring)


def grid_source(**_: Any) -> Source:
    """The grid of 25 Gaussians."""
    return from_sampler(grid)
