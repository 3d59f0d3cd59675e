"""Residual networks of constant width for GANs: a generator that upsamples and a critic that pools.

The networks are WGAN-GP's for CIFAR-10, in the form that spectral normalisation made standard (table 4 of
Miyato et al.).

References:
  Gulrajani et al., 2017, Improved Training of Wasserstein GANs, appendix F,
  https://arxiv.org/abs/1704.00028
  Miyato et al., 2018, Spectral Normalization for GANs, appendix B.4, https://arxiv.org/abs/1802.05957
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError, unknown
from jaxgan.layers import NORMS, Conv, ConvMeanPool, Dense, Norm, UpsampleConv
from jaxgan.layers.heads import Classified, ClassifyingHeads
from jaxgan.ops.resample import mean_pool, upsample_nearest

Array = jax.Array

SIZES = (16, 32, 64, 128)
POOLS = {"sum": jnp.sum, "mean": jnp.mean}

# Both are Glorot initialisers, with gain √2 for the layers under ReLUs and 1 for the shortcuts.
_block_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_shortcut_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def check(size: int, norm: str, width: int) -> None:
    """Validates the settings of the two networks below.

    Raises:
      SetupError: The size or the norm is unknown, or the width is not positive.
    """
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if width < 1:
        raise SetupError(f"width {width}: a ResNet needs at least 1 channel")


class GeneratorBlock(nn.Module):
    """Residual block: norm, ReLU, upsampling, convolution, norm, ReLU, convolution; with a shortcut."""

    features: int
    norm: str
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, 2H, 2W, features)."""
        block = (self.features, True, self.norm == "spectral", _block_init, self.dtype)
        shortcut = (*block[:3], _shortcut_init, self.dtype)
        y = nn.relu(Norm(self.norm)(x, train))
        y = UpsampleConv(*block)(y, train)
        y = nn.relu(Norm(self.norm)(y, train))
        y = Conv(*block)(y, train)
        # A 1 × 1 convolution commutes with upsampling and is cheaper on the smaller images.
        return y + upsample_nearest(Conv(*shortcut, kernel_size=1)(x, train))


class CriticBlock(nn.Module):
    """Residual block of twice norm, ReLU and convolution, mean-pooled if ``pool``, with a shortcut.

    The ``first`` block takes images and applies neither a norm nor an activation to them.
    """

    features: int
    norm: str
    pool: bool
    first: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, H, W, features), with half the height and width if ``pool``."""
        block = (self.features, True, self.norm == "spectral", _block_init, self.dtype)
        shortcut = (*block[:3], _shortcut_init, self.dtype)
        y = x if self.first else nn.relu(Norm(self.norm)(x, train))
        y = Conv(*block)(y, train)
        y = nn.relu(Norm(self.norm)(y, train))
        last = ConvMeanPool if self.pool else Conv
        y = last(*block)(y, train)
        if self.pool:
            x = mean_pool(x)
        if self.pool or x.shape[-1] != self.features:
            x = Conv(*shortcut, kernel_size=1)(x, train)
        return x + y


class Generator(nn.Module):
    """Generator that maps a code to an image, doubling the side in every block.

    Attributes:
      size: Side of the image in pixels, one of ``SIZES``.
      channels: Number of colour channels of the image.
      width: Number of feature maps of every block (256 or 128 in the papers).
      norm: Normalisation, which is batch, layer, none or spectral.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int = 3
    width: int = 256
    norm: str = "batch"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) codes to (B, size, size, channels) images in [−1, 1]."""
        check(self.size, self.norm, self.width)
        common = (True, self.norm == "spectral", _shortcut_init, self.dtype)
        x = Dense(16 * self.width, *common)(z, train).reshape(-1, 4, 4, self.width)
        while x.shape[1] < self.size:
            x = GeneratorBlock(self.width, self.norm, self.dtype)(x, train)
        x = nn.relu(Norm(self.norm)(x, train))
        return jnp.tanh(Conv(self.channels, *common)(x, train).astype(jnp.float32))


def _features(module: "Critic | ClassifyingCritic", x: Array, train: bool) -> Array:
    """Applies the blocks of a critic and pools: images to (B, width), sown as ``features``.

    The function must be called in the compact method of ``module``.
    """
    check(x.shape[1], module.norm, module.width)
    if module.pool not in POOLS:
        raise unknown("pool", module.pool, POOLS)
    pools = (x.shape[1] // 8).bit_length() - 1
    for i in range(pools + 2):
        x = CriticBlock(module.width, module.norm, i < pools, i == 0, module.dtype)(x, train)
    x = POOLS[module.pool](nn.relu(x), (1, 2))
    module.sow("intermediates", "features", x)
    return x


class Critic(nn.Module):
    """Critic that maps an image to a logit.

    Blocks that pool reduce the image to 8 × 8 pixels; two more blocks, a ReLU, a sum or a mean over pixels
    and a dense layer follow. The inputs of the dense layer are sown as ``features`` into ``intermediates``.

    Attributes:
      width: Number of feature maps of every block (128 in the papers).
      norm: Normalisation, which is layer, none or spectral, or batch for objectives whose critic may mix
        samples.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      pool: Reduction over pixels: sum, as with spectral normalisation, or mean, as in WGAN-GP.
    """

    width: int = 128
    norm: str = "spectral"
    dtype: Any = jnp.float32
    pool: str = "sum"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images to (B,) logits."""
        x = _features(self, x, train)
        last = Dense(1, True, self.norm == "spectral", _shortcut_init, self.dtype)
        return last(x, train)[:, 0].astype(jnp.float32)


class ClassifyingCritic(nn.Module):
    """Critic whose features have two output layers, with one logit for the score and K for the classes.

    Attributes:
      classes: Number K of labels.
      width: Number of feature maps of every block.
      norm: Normalisation, as in :class:`Critic`.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      pool: Reduction over pixels: sum or mean, as in :class:`Critic`.
    """

    classes: int
    width: int = 128
    norm: str = "spectral"
    dtype: Any = jnp.float32
    pool: str = "sum"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Classified:
        """Maps (B, size, size, channels) images to the (B,) logits and the (B, K) class logits."""
        x = _features(self, x, train)
        return ClassifyingHeads(self.classes, self.norm == "spectral", _shortcut_init, self.dtype)(x, train)
