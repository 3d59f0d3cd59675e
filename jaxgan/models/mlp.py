"""Multi-layer perceptrons, for points in the plane and for small images."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import Dense

Array = jax.Array

_hidden_init = nn.initializers.he_normal()


class Generator(nn.Module):
    """Latents through ReLU layers to samples; images (three axes) end in tanh, points are unbounded.

    Activations and products' operands are of ``dtype``, parameters and samples float32.

    References:
      Goodfellow et al., 2014, https://arxiv.org/abs/1406.2661
    """

    shape: Sequence[int]
    hidden: Sequence[int] = (128, 128, 128)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) latents to (B, *shape) samples."""
        x = z
        for features in self.hidden:
            x = nn.relu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(x, train))
        x = Dense(math.prod(self.shape), dtype=self.dtype)(x, train).astype(jnp.float32)
        x = x.reshape(-1, *self.shape)
        return jnp.tanh(x) if len(self.shape) == 3 else x


class Critic(nn.Module):
    """Samples through leaky ReLU layers (slope 0.2) to one logit each.

    Activations and products' operands are of ``dtype``, parameters and logits float32.
    """

    hidden: Sequence[int] = (128, 128, 128)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ...) samples to (B,) logits."""
        x = x.reshape(x.shape[0], -1)
        for features in self.hidden:
            x = nn.leaky_relu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(x, train), 0.2)
        return Dense(1, dtype=self.dtype)(x, train)[:, 0].astype(jnp.float32)
