"""Multi-layer perceptrons of a semi-supervised GAN: a classifier with noise in all layers, a generator.

References:
  Salimans et al., 2016, Improved Techniques for Training GANs, https://arxiv.org/abs/1606.03498
"""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import BatchNorm, Dense
from jaxgan.layers.weight_norm import WeightNormDense

Array = jax.Array


def _noise(keys: Array, number: int, dim: int) -> Array:
    """Draws the (B, dim) standard normal noise of layer ``number`` from (B,) PRNG keys."""
    return jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, number), (dim,)))(keys)


class Classifier(nn.Module):
    """Classifier of weight-normalised ReLU layers with Gaussian noise on the inputs of every layer.

    Images (three axes) are mapped from [−1, 1] to [0, 1] first. The scales of weight normalisation are
    trained in the output layer only, and the layers are initialised on a batch, see
    :class:`jaxgan.layers.weight_norm.WeightNormDense`. The activations of the last hidden layer, before
    noise is added, are sown as ``features`` into ``intermediates``. Activations and the products' operands
    have type ``dtype``; parameters and logits are float32.

    Attributes:
      classes: Number of classes.
      hidden: Widths of the hidden layers.
      input_noise: Standard deviation of the noise on the samples.
      noise: Standard deviation of the noise on the inputs of all other layers.
    """

    classes: int
    hidden: Sequence[int] = (1000, 500, 250, 250, 250)
    input_noise: float = 0.3
    noise: float = 0.5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, keys: Array | None, train: bool) -> Array:
        """Maps (B, ...) samples, and (B,) PRNG keys of the noise if ``train``, to (B, classes) logits."""
        if x.ndim == 4:
            x = 0.5 * (x + 1.0)
        x = x.reshape(x.shape[0], -1)

        def noisy(x: Array, number: int) -> Array:
            if not train:
                return x
            assert keys is not None
            std = self.noise if number else self.input_noise
            return x + std * _noise(keys, number, x.shape[-1]).astype(x.dtype)

        for number, features in enumerate(self.hidden):
            layer = WeightNormDense(features, train_scale=False, dtype=self.dtype)
            x = nn.relu(layer(noisy(x, number), train))
        self.sow("intermediates", "features", x)
        output = WeightNormDense(self.classes, dtype=self.dtype)
        return output(noisy(x, len(self.hidden)), train).astype(jnp.float32)


class Generator(nn.Module):
    """Generator of softplus layers with batch normalisation and a weight-normalised output layer.

    Images (three axes) end in tanh(x / 2), which is the paper's sigmoid mapped to [−1, 1]; points are
    unbounded. Unlike in the authors' program, batch normalisation has a learnt scale. Activations and the
    products' operands have type ``dtype``; parameters and samples are float32.
    """

    shape: Sequence[int]
    hidden: Sequence[int] = (500, 500)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) latents to (B, *shape) samples."""
        x = z
        for features in self.hidden:
            x = Dense(
                features, use_bias=False, kernel_init=nn.initializers.glorot_uniform(), dtype=self.dtype
            )(x, train)
            x = nn.softplus(BatchNorm()(x, train))
        output = WeightNormDense(
            math.prod(self.shape),
            from_batch=False,
            kernel_init=nn.initializers.glorot_uniform(),
            dtype=self.dtype,
        )
        x = output(x, train).astype(jnp.float32).reshape(-1, *self.shape)
        return jnp.tanh(0.5 * x) if len(self.shape) == 3 else x
