"""Dense layer with weight normalisation and a data-dependent initialisation.

References:
  Salimans and Kingma, 2016, Weight Normalization, https://arxiv.org/abs/1602.07868
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers.linear import Initializer, multiply

Array = jax.Array


class WeightNormDense(nn.Module):
    """Dense layer y = g ⊙ (x V) / ‖V‖ + b, where ‖V‖ holds the norms of the columns of V.

    Parameters and norms are float32. The product is computed in ``dtype``, and y has type ``dtype``.

    Attributes:
      features: Number of units.
      from_batch: Whether g and b start such that the outputs have mean 0 and variance 1 over the batch that
        the layer is initialised on. Otherwise, and for a unit whose outputs are all equal, they start as
        1 and 0.
      train_scale: Whether g is trained. Otherwise g keeps its initial value.
      kernel_init: Initialiser of V. Only the directions of its columns and their lengths relative to the
        learning rate matter.
    """

    features: int
    from_batch: bool = True
    train_scale: bool = True
    kernel_init: Initializer = nn.initializers.normal(0.1)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        inverse = jax.lax.rsqrt(jnp.sum(jnp.square(kernel), 0))
        y = multiply(x.astype(self.dtype), kernel.astype(self.dtype)).astype(jnp.float32) * inverse
        mean, variance = jnp.mean(y, 0), jnp.var(y, 0)
        varies = (variance > 0) & self.from_batch
        initial = jnp.where(varies, jax.lax.rsqrt(jnp.where(varies, variance, 1.0)), 1.0)
        scale = self.param("scale", lambda _: initial)
        bias = self.param("bias", lambda _: jnp.where(varies, -mean * initial, 0.0))
        if not self.train_scale:
            scale = jax.lax.stop_gradient(scale)
        return (y * scale + bias).astype(self.dtype)
