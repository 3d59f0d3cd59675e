"""Residual networks of constant width for GANs: a generator that upsamples and a critic that pools.

The networks are WGAN-GP's for CIFAR-10, in the form that spectral normalisation made standard (table 4 of
Miyato et al.).

References:
  Gulrajani et al., 2017, Improved Training of Wasserstein GANs, appendix F,
  https://arxiv.org/abs/1704.00028
  Miyato et al., 2018, Spectral Normalization for GANs, appendix B.4, https://arxiv.org/abs/1802.05957
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError, unknown
from jaxgan.layers import NORMS, Conv, ConvMeanPool, Dense, Norm, UpsampleConv
from jaxgan.layers.attention import SelfAttention, places
from jaxgan.layers.heads import Classified, ClassifyingHeads
from jaxgan.ops.resample import mean_pool, upsample_nearest

Array = jax.Array
Normalise = Callable[[Array], Array]
Initializer = Callable[..., Array]

SIZES = (16, 32, 64, 128)
POOLS = {"sum": jnp.sum, "mean": jnp.mean}

# Both are Glorot initialisers, with gain √2 for the layers under ReLUs and 1 for the shortcuts.
block_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
shortcut_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


def check(size: int, norm: str, width: int) -> None:
    """Validates the settings of a network.

    Raises:
      SetupError: The size or the norm is unknown, or the width is not positive.
    """
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)
    if width < 1:
        raise SetupError(f"width {width}: a ResNet needs at least 1 channel")


def doublings(size: int) -> int:
    """Returns how often the side doubles from 4 pixels to ``size``.

    >>> doublings(32)
    3
    """
    return (size // 4).bit_length() - 1


class GeneratorBlock(nn.Module):
    """Residual block: norm, ReLU, upsampling, convolution, norm, ReLU, convolution; with a shortcut."""

    features: int
    spectral: bool
    dtype: Any = jnp.float32
    kernel_init: Initializer = block_init
    shortcut_init: Initializer = shortcut_init

    @nn.compact
    def __call__(self, x: Array, normalise: Normalise, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, 2H, 2W, features), with layers that ``normalise`` adds to the block."""
        block = (self.features, True, self.spectral, self.kernel_init, self.dtype)
        shortcut = (*block[:3], self.shortcut_init, self.dtype)
        y = UpsampleConv(*block)(nn.relu(normalise(x)), train)
        y = Conv(*block)(nn.relu(normalise(y)), train)
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
    kernel_init: Initializer = block_init
    shortcut_init: Initializer = shortcut_init

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, H, W, features), with half the height and width if ``pool``."""
        block = (self.features, True, self.norm == "spectral", self.kernel_init, self.dtype)
        shortcut = (*block[:3], self.shortcut_init, self.dtype)
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


class Shape(Protocol):
    """What the networks of this family and of the class-conditional one share."""

    attention: tuple[int, ...]
    dtype: Any

    def sow(self, col: str, name: str, value: Any) -> bool:
        """Stores an intermediate value; a method of every Flax module."""


class CriticShape(Shape, Protocol):
    """The fields that unconditional critics share."""

    width: int
    norm: str
    pool: str


class ImageShape(Shape, Protocol):
    """The fields that generators share."""

    size: int
    channels: int


def upsample(
    module: ImageShape,
    z: Array,
    train: bool,
    *,
    widths: Sequence[int],
    inner: Normalise,
    outer: Normalise,
    spectral: bool,
) -> Array:
    """Applies a generator's layers: (B, dim) codes to (B, size, size, channels) images in [−1, 1].

    The function must be called in the compact method of ``module``.

    Args:
      module: Generator that will own the layers.
      z: Codes, (B, dim).
      train: Whether the pass is one in training.
      widths: Number of feature maps of each block's output.
      inner: Function that normalises feature maps (B, H, W, C) within the blocks.
      outer: Function that normalises the output of the last block.
      spectral: Whether kernels are divided by their largest singular values.
    """
    attended = places(module.attention, [8 << i for i in range(len(widths))])
    common = (True, spectral, shortcut_init, module.dtype)
    x = Dense(16 * widths[0], *common)(z, train).reshape(-1, 4, 4, widths[0])
    for width, attends in zip(widths, attended, strict=True):
        x = GeneratorBlock(width, spectral, module.dtype)(x, inner, train)
        if attends:
            x = SelfAttention(spectral, kernel_init=shortcut_init, dtype=module.dtype)(x, train)
    return jnp.tanh(Conv(module.channels, *common)(nn.relu(outer(x)), train).astype(jnp.float32))


def downsample(
    module: Shape,
    x: Array,
    train: bool,
    *,
    widths: Sequence[int],
    pools: int,
    norm: str,
    pool: str = "sum",
) -> Array:
    """Applies a critic's blocks, a ReLU and a reduction over pixels: images to (B, features).

    The result is sown as ``features`` into ``intermediates``. The function must be called in the compact
    method of ``module``.

    Args:
      module: Critic that will own the layers.
      x: Images, (B, size, size, channels).
      train: Whether the pass is one in training.
      widths: Number of feature maps of each block's output.
      pools: Number of blocks, the first ones, that halve the side.
      norm: Normalisation, which is batch, layer, none or spectral.
      pool: Reduction over pixels, which is sum or mean.

    Raises:
      SetupError: The reduction is unknown.
    """
    if pool not in POOLS:
        raise unknown("pool", pool, POOLS)
    blocks = len(widths)
    attended = places(module.attention, [x.shape[1] >> min(i + 1, pools) for i in range(blocks)])
    for i, (width, attends) in enumerate(zip(widths, attended, strict=True)):
        x = CriticBlock(width, norm, i < pools, i == 0, module.dtype)(x, train)
        if attends:
            attend = SelfAttention(norm == "spectral", kernel_init=shortcut_init, dtype=module.dtype)
            x = attend(x, train)
    x = POOLS[pool](nn.relu(x), (1, 2))
    module.sow("intermediates", "features", x)
    return x


class Generator(nn.Module):
    """Generator that maps a code to an image, doubling the side in every block.

    Attributes:
      size: Side of the image in pixels, one of ``SIZES``.
      channels: Number of colour channels of the image.
      width: Number of feature maps of every block (256 or 128 in the papers).
      norm: Normalisation, which is batch, layer, none or spectral.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the blocks' outputs with self-attention.
    """

    size: int
    channels: int = 3
    width: int = 256
    norm: str = "batch"
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Maps (B, dim) codes to (B, size, size, channels) images in [−1, 1]."""
        check(self.size, self.norm, self.width)

        def normalise(x: Array) -> Array:
            return Norm(self.norm)(x, train)

        widths, spectral = doublings(self.size) * (self.width,), self.norm == "spectral"
        return upsample(self, z, train, widths=widths, inner=normalise, outer=normalise, spectral=spectral)


def _features(module: CriticShape, x: Array, train: bool) -> Array:
    """Applies the blocks of an unconditional critic: (B, size, size, channels) images to (B, width)."""
    check(x.shape[1], module.norm, module.width)
    pools = doublings(x.shape[1]) - 1
    widths = (pools + 2) * (module.width,)
    return downsample(module, x, train, widths=widths, pools=pools, norm=module.norm, pool=module.pool)


class Critic(nn.Module):
    """Critic that maps an image to a logit.

    Blocks that pool reduce the image to 8 × 8 pixels; two more blocks, a ReLU, a sum or a mean over pixels
    and a dense layer follow. The inputs of the dense layer are sown as ``features`` into ``intermediates``.

    Attributes:
      width: Number of feature maps of every block (128 in the papers).
      norm: Normalisation, which is layer, none or spectral, or batch for objectives whose critic may mix
        samples.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the blocks' outputs with self-attention.
      pool: Reduction over pixels: sum, as with spectral normalisation, or mean, as in WGAN-GP.
    """

    width: int = 128
    norm: str = "spectral"
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()
    pool: str = "sum"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images to (B,) logits."""
        x = _features(self, x, train)
        last = Dense(1, True, self.norm == "spectral", shortcut_init, self.dtype)
        return last(x, train)[:, 0].astype(jnp.float32)


class ClassifyingCritic(nn.Module):
    """Critic with two output layers on its features: one logit for the score and K for the classes.

    Attributes:
      classes: Number K of labels.
      width: Number of feature maps of every block.
      norm: Normalisation, as in :class:`Critic`.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the blocks' outputs with self-attention.
      pool: Reduction over pixels: sum or mean, as in :class:`Critic`.
    """

    classes: int
    width: int = 128
    norm: str = "spectral"
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()
    pool: str = "sum"

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Classified:
        """Maps (B, size, size, channels) images to the (B,) logits and the (B, K) class logits."""
        x = _features(self, x, train)
        return ClassifyingHeads(self.classes, self.norm == "spectral", shortcut_init, self.dtype)(x, train)
