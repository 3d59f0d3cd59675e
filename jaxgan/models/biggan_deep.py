"""BigGAN-deep: bottleneck blocks, twice as many, with shortcuts that keep their channels.

The networks have the channels, initialisation and normalisation of :mod:`jaxgan.models.biggan`. Each of its
blocks becomes a stage of two: the generator's second block doubles the side, and the critic's first block
halves it. A block has a quarter of the channels between 1 × 1 convolutions.

References:
  Brock et al., 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, appendix B,
  https://arxiv.org/abs/1809.11096
  The authors' code, https://github.com/ajbrock/BigGAN-PyTorch
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import Conv, Dense, UpsampleConv
from jaxgan.layers.embedding import Embed
from jaxgan.models import biggan
from jaxgan.models.biggan import INIT
from jaxgan.ops.resample import mean_pool, upsample_nearest

Array = jax.Array

RATIO = 4  # The channels inside a block are those of its wider end, divided by this number.


class GeneratorBlock(nn.Module):
    """Bottleneck block whose shortcut drops channels, and which doubles the side if ``up``.

    Each of the four convolutions, of 1, 3, 3 and 1 pixels, follows a conditional norm and a ReLU.
    """

    features: int
    up: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, condition: Array, train: bool) -> Array:
        """Maps (B, H, W, I) and (B, D) conditions to (B, H, W, features), features ≤ I.

        The height and width are doubled if ``up``.
        """
        rest = (True, True, INIT, self.dtype)
        hidden = max(x.shape[-1] // RATIO, 1)

        def activate(x: Array) -> Array:
            return nn.relu(biggan.normalise(x, condition, train))

        y = Conv(hidden, *rest, kernel_size=1)(activate(x), train)
        y = (UpsampleConv if self.up else Conv)(hidden, *rest)(activate(y), train)
        y = Conv(hidden, *rest)(activate(y), train)
        y = Conv(self.features, *rest, kernel_size=1)(activate(y), train)
        x = x[..., : self.features]
        return y + (upsample_nearest(x) if self.up else x)


class CriticBlock(nn.Module):
    """Bottleneck block that halves the side if ``pool``.

    A 1 × 1 convolution makes the channels that the input lacks, which are appended to it in the shortcut.
    """

    features: int
    pool: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, H, W, features), I ≤ features, of half the sides if ``pool``."""
        rest = (True, True, INIT, self.dtype)
        hidden = max(self.features // RATIO, 1)
        y = Conv(hidden, *rest, kernel_size=1)(nn.relu(x), train)
        y = Conv(hidden, *rest)(nn.relu(y), train)
        y = nn.relu(Conv(hidden, *rest)(nn.relu(y), train))
        if self.pool:
            x, y = mean_pool(x), mean_pool(y)
        y = Conv(self.features, *rest, kernel_size=1)(y, train)
        if lacking := self.features - x.shape[-1]:
            x = jnp.concatenate([x, Conv(lacking, *rest, kernel_size=1)(x, train)], -1)
        return x + y


class Generator(nn.Module):
    """Generator whose first layer and norms are all conditioned on the latents and the label's embedding.

    Attributes:
      size: Side of the image in pixels, one of :data:`jaxgan.models.biggan.SIZES`.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Unit of the numbers of channels (128 in the paper).
      attention: Sides of the feature maps that are followed by self-attention ((64,) in the paper).
      embedding: Length of the embedding, which all layers share (128 in the paper).
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int
    classes: int
    width: int = 128
    attention: tuple[int, ...] = ()
    embedding: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1]."""
        first, *features = biggan.generator_channels(self.size, self.width, self.attention)
        embedded = Embed(self.classes, self.embedding, kernel_init=INIT)(labels, train)
        condition = jnp.concatenate([embedded, z], -1)
        x = Dense(16 * first, True, True, INIT, self.dtype)(condition, train).reshape(-1, 4, 4, first)
        for width in features:
            x = GeneratorBlock(x.shape[-1], False, self.dtype)(x, condition, train)
            x = GeneratorBlock(width, True, self.dtype)(x, condition, train)
            if x.shape[1] in self.attention:
                x = biggan.attend(x, self.dtype, train)
        return biggan.to_images(x, self.channels, self.dtype, train)


class Critic(nn.Module):
    """Projection critic with sum pooling, whose logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩.

    Attributes:
      classes: Number of labels.
      width: Unit of the numbers of channels (128 in the paper).
      attention: Sides of the feature maps that are followed by self-attention ((64,) in the paper).
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    classes: int
    width: int = 128
    attention: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) labels to (B,) logits."""
        size = x.shape[1]
        stem, *features = biggan.critic_channels(size, self.width, self.attention)
        x = Conv(stem, True, True, INIT, self.dtype)(x, train)
        for i, width in enumerate(features):
            pool = i < biggan.pools(size)
            x = CriticBlock(width, pool, self.dtype)(x, train)
            x = CriticBlock(width, False, self.dtype)(x, train)
            if pool and x.shape[1] in self.attention:
                x = biggan.attend(x, self.dtype, train)
        return biggan.to_logits(self, x, labels, self.classes, self.dtype, train)
