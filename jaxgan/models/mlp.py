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
    """Generator of ReLU layers; images (three axes) end in tanh, points are unbounded.

    Activations and the products' operands have type ``dtype``; parameters and samples are float32.

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
    """Critic of leaky ReLU layers (slope 0.2) with one logit per sample.

    Activations and the products' operands have type ``dtype``; parameters and logits are float32. The
    features of a ``minibatch`` layer, see :class:`jaxgan.layers.minibatch.Minibatch`, are appended to the
    inputs of the last hidden layer. The inputs of the output layer are sown as ``features`` into
    ``intermediates``.
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
    """BEGAN's critic: ELU layers that encode samples and, in reverse order, decode them.

    Activations and the products' operands have type ``dtype``; parameters and reconstructions are float32.
    The code must be narrower than the data, because otherwise the network reconstructs everything, whether
    real or not.

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
    """Encoder to the mean and variance of a code and a decoder, both of ReLU layers.

    Activations and the products' operands have type ``dtype``; parameters and results are float32. Without
    hidden layers the network is linear: with a Gaussian likelihood it is the model of probabilistic PCA.

    Attributes:
      shape: Shape of one sample.
      latent_dim: Length of a code.
      hidden: Widths of the encoder's hidden layers; the decoder has the same widths in reverse.

    References:
      Kingma and Welling, 2014, Auto-Encoding Variational Bayes, https://arxiv.org/abs/1312.6114
    """

    shape: Sequence[int]
    latent_dim: int
    hidden: Sequence[int] = (400, 400)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declares the layers."""
        self.encoder = [self._layer(features) for features in self.hidden]
        self.code = Dense(2 * self.latent_dim, dtype=self.dtype)
        self.decoder = [self._layer(features) for features in reversed(self.hidden)]
        self.output = Dense(math.prod(self.shape), dtype=self.dtype)
        # The standard deviation is that of a Gaussian likelihood; a Bernoulli likelihood does not use it.
        self.log_std = self.param("log_std", nn.initializers.zeros, ())

    def _layer(self, features: int) -> Dense:
        return Dense(features, kernel_init=_hidden_init, dtype=self.dtype)

    def encode(self, x: Array, train: bool) -> tuple[Array, Array]:
        """Maps (B, ...) samples to the mean and the log-variance of their codes, each (B, latent_dim)."""
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
        """Maps samples to the decoded means of their codes."""
        return self.decode(self.encode(x, train)[0], train)


class Translators(nn.Module):
    """Two residual generators x + MLP(x), one per direction between two domains of points.

    Attributes:
      hidden: Widths of each generator's ReLU layers.
    """

    hidden: Sequence[int] = (64, 64)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declares the two networks."""
        self.to_a, self.to_b = (Translator(self.hidden, self.dtype) for _ in range(2))

    def a_to_b(self, x: Array, train: bool) -> Array:
        """Translates (B, dim) samples of domain a to domain b."""
        return self.to_b(x, train)

    def b_to_a(self, x: Array, train: bool) -> Array:
        """Translates (B, dim) samples of domain b to domain a."""
        return self.to_a(x, train)

    def __call__(self, a: Array, b: Array, train: bool) -> tuple[Array, Array]:
        """Translates samples of both domains."""
        return self.a_to_b(a, train), self.b_to_a(b, train)


class Translator(nn.Module):
    """Residual network x + MLP(x) of ReLU layers, from points to points of the same space."""

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
    """Two critics, one per domain.

    Attributes:
      hidden: Widths of each critic's layers.
    """

    hidden: Sequence[int] = (64, 64)
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Declares the two networks."""
        self.of_a, self.of_b = (Critic(self.hidden, self.dtype) for _ in range(2))

    def __call__(self, a: Array, b: Array, train: bool) -> tuple[Array, Array]:
        """Maps samples of both domains to the logits of their critics, each (B,)."""
        return self.of_a(a, train), self.of_b(b, train)
