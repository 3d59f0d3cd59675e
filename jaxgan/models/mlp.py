"""Multi-layer perceptrons, for points in the plane and for small images."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import Dense
from jaxgan.minibatch import Minibatch

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

    Activations and products' operands are of ``dtype``, parameters and logits float32. The features of a
    ``minibatch`` layer, see :class:`jaxgan.minibatch.Minibatch`, join those that enter the last hidden
    layer. What enters the logit is sown as ``features`` into ``intermediates``.
    """

    hidden: Sequence[int] = (128, 128, 128)
    dtype: Any = jnp.float32
    minibatch: str = "none"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ...) samples to (B,) logits."""
        x = x.reshape(x.shape[0], -1)
        for i, features in enumerate(self.hidden):
            if i == len(self.hidden) - 1:
                x = Minibatch(self.minibatch)(x)
            x = nn.leaky_relu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(x, train), 0.2)
        self.sow("intermediates", "features", x)
        return Dense(1, dtype=self.dtype)(x, train)[:, 0].astype(jnp.float32)


class AutoEncoder(nn.Module):
    """Samples through ELU layers to a code and back, the layers in reverse: BEGAN's critic.

    Activations and products' operands are of ``dtype``, parameters and reconstructions float32. The code
    has to be narrower than the data: else everything is reconstructed, whether real or not.

    References:
      Berthelot et al., 2017, BEGAN, section 3.5, https://arxiv.org/abs/1703.10717
    """

    hidden: Sequence[int] = (128, 128, 128)
    code: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ...) samples to their reconstructions, of the same shape."""
        y = x.reshape(x.shape[0], -1)
        for features in self.hidden:
            y = nn.elu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(y, train))
        y = Dense(self.code, dtype=self.dtype)(y, train)
        for features in reversed(self.hidden):
            y = nn.elu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(y, train))
        y = Dense(math.prod(x.shape[1:]), dtype=self.dtype)(y, train)
        return y.astype(jnp.float32).reshape(x.shape)
