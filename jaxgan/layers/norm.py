"""Normalisation layers."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.ops import batch_norm

Array = jax.Array
Initializer = Callable[..., Array]

NORMS = ("batch", "layer", "none", "spectral")


class BatchNorm(nn.Module):
    """Batch normalisation with running averages of the moments in ``batch_stats`` for evaluation."""

    scale_init: Initializer = nn.initializers.ones
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ..., C) to the same shape and type."""
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            y = (x - mean.value) * (lax.rsqrt(var.value + self.epsilon) * scale) + bias
            return y.astype(x.dtype)
        y, *moments = batch_norm.batch_norm(x, scale, bias, self.epsilon)
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            for average, moment in zip((mean, var), moments, strict=True):
                average.value = self.momentum * average.value + (1 - self.momentum) * moment
        return y


class Norm(nn.Module):
    """Normalisation between layers, selected by ``kind``.

    The kinds batch and layer select that normalisation; none and spectral return the input unchanged.
    Moments are float32 whatever the type of x, and batch statistics are those of the global batch.
    """

    kind: str
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ..., C) to the same shape and type."""
        if self.kind == "batch":
            return BatchNorm(self.scale_init, name="batch_norm")(x, train)
        if self.kind == "layer":
            # The moments are those of the whole sample and the scale is per channel, as in WGAN-GP, whose
            # critic cannot use batch statistics.
            axes = tuple(range(1, x.ndim))
            return nn.LayerNorm(
                reduction_axes=axes,
                scale_init=self.scale_init,
                epsilon=1e-5,
                dtype=x.dtype,
                name="layer_norm",
            )(x)
        return x
