"""Layers that show a critic how a sample relates to its batch, so that it can detect mode collapse.

These layers mix the samples of a batch, like batch normalisation. Real and fake batches are therefore
passed separately, and gradient penalties are refused. The layers have no state; the collection
``minibatch``, which holds no arrays, marks the critics that contain such a layer.

The batch is the global batch, under ``jit`` and under ``pmap``.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.errors import unknown

Array = jax.Array

COLLECTION = "minibatch"
KINDS = ("discrimination", "distance", "none", "std")
# Added inside roots because √ has no derivative at 0, which is the distance of a sample to itself and the
# spread of a collapsed batch.
EPSILON = 1e-8


def discrimination(x: Array, others: Array) -> Array:
    """Computes the closeness of each sample to the batch: o_b(x_i) = Σ_j exp(−‖M_ib − M_jb‖₁).

    Args:
      x: Projected samples M_i, (B, features, dims).
      others: Projected samples M_j of the batch, (B', features, dims), which include x as in the paper's
        sum.

    Returns:
      Closeness (B, features), from 1 if all other samples are far away to B' if the whole batch coincides.

    References:
      Salimans et al., 2016, Improved Techniques for Training GANs, section 3.2,
      https://arxiv.org/abs/1606.03498
    """
    # We sum dimension by dimension because XLA sums a short last axis more slowly on a CPU.
    distances = sum(jnp.abs(x[:, None, :, c] - others[None, :, :, c]) for c in range(x.shape[-1]))
    return jnp.sum(jnp.exp(-distances), 1)


def distance(x: Array, others: Array) -> Array:
    """Computes the mean distance of each sample to the batch: o(x_i) = 1/B' Σ_j √(‖x_i − x_j‖² + 1e-8).

    Args:
      x: Samples, (B, features).
      others: Samples of the batch, (B', features), which include x.

    Returns:
      Distances (B, 1) in units of x; 1e-4 if the whole batch coincides.
    """
    squares = jnp.sum(jnp.square(x[:, None] - others[None]), -1)
    return jnp.mean(jnp.sqrt(squares + EPSILON), 1, keepdims=True)


def standard_deviation(x: Array) -> Array:
    """Computes the batch's standard deviation of each feature, averaged over the features.

    Args:
      x: Samples, (B, features).

    Returns:
      Array (B, 1) with the same number for each sample: mean_f √(var_f + 1e-8), with the biased variance.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 3, https://arxiv.org/abs/1710.10196
    """
    mean = parallel.global_mean(jnp.mean(x, 0))
    variance = parallel.global_mean(jnp.mean(jnp.square(x - mean), 0))
    return jnp.broadcast_to(jnp.mean(jnp.sqrt(variance + EPSILON)), (len(x), 1))


class Minibatch(nn.Module):
    """Layer that appends features of the batch to each sample's own features.

    Attributes:
      kind: One of discrimination (Salimans et al.), distance (L2, to the whole batch), std (Karras et al.)
        and none.
      features: Number of measures of closeness that discrimination learns (the paper's B).
      dims: Dimension of the space in which each measure is taken (the paper's C).
    """

    kind: str
    features: int = 16
    dims: int = 5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, F) to (B, F + features), to F + 1 features for distance and std, or to F for none."""
        if self.kind not in KINDS:
            raise unknown("minibatch", self.kind, KINDS)
        if self.kind == "none":
            return x
        if self.is_initializing():
            self.variable(COLLECTION, "mixes", tuple)
        y = x.astype(jnp.float32)
        if self.kind == "std":
            seen = standard_deviation(y)
        else:
            if self.kind == "discrimination":
                kernel = self.param(
                    "kernel", nn.initializers.lecun_normal(), (y.shape[-1], self.features * self.dims)
                )
                y = (y @ kernel).reshape(-1, self.features, self.dims)
            seen = (discrimination if self.kind == "discrimination" else distance)(
                y, parallel.global_rows(y)
            )
        return jnp.concatenate([x, seen.astype(x.dtype)], -1)
