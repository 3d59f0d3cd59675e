"""Layers that let a critic see how a sample stands to the rest of its batch, to tell a collapsed one.

They mix the samples of a batch, as batch normalisation does: real and fake batches pass one after the
other, and gradient penalties are refused. They hold no state; what tells of them is the collection
``minibatch``, which has no arrays.

The batch is the global one, under ``jit`` and under ``pmap``.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import parallel
from jaxgan.errors import unknown

Array = jax.Array

COLLECTION = "minibatch"
KINDS = ("discrimination", "distance", "none", "std")
# Inside roots: √ has no derivative at 0, which is where a sample's distance to itself and the spread of
# a collapsed batch are.
EPSILON = 1e-8


def discrimination(x: Array, others: Array) -> Array:
    """How close each sample is to the batch, by several measures: o_b(x_i) = Σ_j exp(−‖M_ib − M_jb‖₁).

    Args:
      x: (B, features, dims) projected samples M_i.
      others: (B', features, dims) the batch's M_j, with x's own among them, as in the paper's sum.

    Returns:
      (B, features), each from 1 (alone) to B' (all the batch in one place).

    References:
      Salimans et al., 2016, Improved Techniques for Training GANs, section 3.2,
      https://arxiv.org/abs/1606.03498
    """
    # Dimension by dimension: XLA sums a short last axis five times slower on a CPU.
    distances = sum(jnp.abs(x[:, None, :, c] - others[None, :, :, c]) for c in range(x.shape[-1]))
    return jnp.sum(jnp.exp(-distances), 1)


def distance(x: Array, others: Array) -> Array:
    """The mean distance of each sample to the batch: o(x_i) = 1/B' Σ_j √(‖x_i − x_j‖² + 1e-8).

    Args:
      x: (B, features) samples.
      others: (B', features) the batch, with x's own among them.

    Returns:
      (B, 1), in units of x; 1e-4 where the batch is in one place.
    """
    squares = jnp.sum(jnp.square(x[:, None] - others[None]), -1)
    return jnp.mean(jnp.sqrt(squares + EPSILON), 1, keepdims=True)


def standard_deviation(x: Array) -> Array:
    """The batch's spread: the standard deviation of each feature over the batch, averaged over features.

    Args:
      x: (B, features) samples.

    Returns:
      (B, 1), the same number for each sample: mean_f √(var_f + 1e-8), with the biased variance.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 3, https://arxiv.org/abs/1710.10196
    """
    mean = parallel.global_mean(jnp.mean(x, 0))
    variance = parallel.global_mean(jnp.mean(jnp.square(x - mean), 0))
    return jnp.broadcast_to(jnp.mean(jnp.sqrt(variance + EPSILON)), (len(x), 1))


class Minibatch(nn.Module):
    """Appends features of the batch to each sample's own.

    Attributes:
      kind: discrimination (Salimans et al.), distance (L2, to all the batch), std (Karras et al.), or none.
      features: measures of closeness that discrimination learns (the paper's B).
      dims: of the space each is measured in (the paper's C).
    """

    kind: str
    features: int = 16
    dims: int = 5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Maps (B, F) to (B, F + features), F + 1 for distance and std, F for none."""
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
