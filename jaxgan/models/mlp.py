"""Multi-layer perceptrons, for points in the plane and for small images."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import Dense
from jaxgan.layers.minibatch import Minibatch

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
    ``minibatch`` layer, see :class:`jaxgan.layers.minibatch.Minibatch`, join those that enter the last
    hidden layer. What enters the logit is sown as ``features`` into ``intermediates``.
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


class VariationalAutoEncoder(nn.Module):
    """An encoder to the mean and variance of a code, and a decoder back: ReLU layers both ways.

    Activations and products' operands are of ``dtype``, parameters and results float32. Without hidden
    layers it is linear: probabilistic PCA's model, if the likelihood is Gaussian.

    Attributes:
      shape: of one sample.
      latent_dim: length of a code.
      hidden: widths of the encoder's layers; the decoder's are the same in reverse.

    References:
      Kingma and Welling, 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114
    """

    shape: Sequence[int]
    latent_dim: int
    hidden: Sequence[int] = (400, 400)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the layers."""
        self.encoder = [self._layer(features) for features in self.hidden]
        self.code = Dense(2 * self.latent_dim, dtype=self.dtype)
        self.decoder = [self._layer(features) for features in reversed(self.hidden)]
        self.output = Dense(math.prod(self.shape), dtype=self.dtype)
        # Of a Gaussian likelihood; idle in a Bernoulli one.
        self.log_std = self.param("log_std", nn.initializers.zeros, ())

    def _layer(self, features: int) -> Dense:
        return Dense(features, kernel_init=_hidden_init, dtype=self.dtype)

    def encode(self, x: Array, train: bool) -> tuple[Array, Array]:
        """Maps (B, ...) samples to the mean and the log-variance of their codes, (B, latent_dim) each."""
        y = x.reshape(x.shape[0], -1)
        for layer in self.encoder:
            y = nn.relu(layer(y, train))
        mean, log_variance = jnp.split(self.code(y, train).astype(jnp.float32), 2, -1)
        return mean, log_variance

    def decode(self, z: Array, train: bool) -> Array:
        """Maps (B, latent_dim) codes to (B, ...) logits or means."""
        y = z
        for layer in self.decoder:
            y = nn.relu(layer(y, train))
        return self.output(y, train).astype(jnp.float32).reshape(-1, *self.shape)

    def __call__(self, x: Array, train: bool) -> Array:
        """Maps samples to what the means of their codes decode to."""
        return self.decode(self.encode(x, train)[0], train)


class Translators(nn.Module):
    """Two generators of points, one a direction between two domains: residual, x + MLP(x).

    Attributes:
      hidden: widths of each generator's ReLU layers.
    """

    hidden: Sequence[int] = (64, 64)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the two networks."""
        self.to_a, self.to_b = (Translator(self.hidden, self.dtype) for _ in range(2))

    def a_to_b(self, x: Array, train: bool) -> Array:
        """Maps (B, dim) samples of domain a to the other."""
        return self.to_b(x, train)

    def b_to_a(self, x: Array, train: bool) -> Array:
        """Maps (B, dim) samples of domain b to the other."""
        return self.to_a(x, train)

    def __call__(self, a: Array, b: Array, train: bool) -> tuple[Array, Array]:
        """Translates samples of both domains."""
        return self.a_to_b(a, train), self.b_to_a(b, train)


class Translator(nn.Module):
    """Points to points of the same space: x + MLP(x), through ReLU layers."""

    hidden: Sequence[int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, dim) to the same shape."""
        y = x
        for features in self.hidden:
            y = nn.relu(Dense(features, kernel_init=_hidden_init, dtype=self.dtype)(y, train))
        return x + Dense(x.shape[-1], dtype=self.dtype)(y, train).astype(jnp.float32)


class DomainCritics(nn.Module):
    """Two critics, one a domain.

    Attributes:
      hidden: widths of each critic's layers.
    """

    hidden: Sequence[int] = (64, 64)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Names the two networks."""
        self.of_a, self.of_b = (Critic(self.hidden, self.dtype) for _ in range(2))

    def __call__(self, a: Array, b: Array, train: bool) -> tuple[Array, Array]:
        """Maps samples of both domains to the logits of their critics, (B,) each."""
        return self.of_a(a, train), self.of_b(b, train)
