"""DCGAN whose layers are named by resolution, so that a network of twice the size can reuse them.

References:
  Karras et al., 2018, Progressive Growing of GANs, https://arxiv.org/abs/1710.10196
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import unknown
from jaxgan.layers import NORMS, Conv, ConvTranspose, Dense, Norm
from jaxgan.ops.resample import mean_pool, upsample_nearest

Array = jax.Array

SIZES = (8, 16, 32, 64, 128)
BASE = 4  # side of the smallest feature map, in pixels

_kernel_init = nn.initializers.normal(0.02)


def features_at(size: int, width: int) -> int:
    """Returns the number of feature maps at a resolution, of which there are ``width`` at 64 × 64 pixels.

    The number does not depend on the size of the image.

    >>> [features_at(size, 16) for size in (4, 16, 32, 64)]
    [128, 64, 32, 16]
    """
    return max(1, min(8 * width, 64 * width // size))


def _check(size: int, norm: str) -> None:
    if size not in SIZES:
        raise unknown("image size", size, SIZES)
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)


def _blend(old: Array, new: Array, alpha: Array) -> Array:
    # The form old + α (new − old) would not be exactly new at α = 1.
    share = alpha[:, None, None, None].astype(new.dtype)
    return (1 - share) * old + share * new


class Generator(nn.Module):
    """Generator that maps a code to an image.

    If ``grown``, the generator's last layers fade in over those of half the size.

    Attributes:
      size: Side of the image in pixels.
      channels: Number of colour channels of the image.
      width: Number of feature maps at 64 × 64 pixels. Each halving of the side doubles the number, up to
        eight times the width.
      norm: Normalisation, which is batch, layer, none or spectral.
      grown: Whether α blends the image with the upsampled image of half the size.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int
    width: int = 16
    norm: str = "batch"
    grown: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, alpha: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) α to (B, size, size, channels) images in [−1, 1]."""
        _check(self.size, self.norm)
        spectral = self.norm == "spectral"
        common = (self.norm in ("none", "spectral"), spectral, _kernel_init, self.dtype)

        def activate(x: Array, side: int) -> Array:
            return nn.relu(Norm(self.norm, name=f"norm_{side}")(x, train))

        def image(x: Array, side: int) -> Array:
            last = Conv(self.channels, True, spectral, _kernel_init, self.dtype, 3, name=f"to_image_{side}")
            return jnp.tanh(last(x, train).astype(jnp.float32))

        features = features_at(BASE, self.width)
        x = Dense(BASE * BASE * features, *common, name=f"block_{BASE}")(z, train)
        x, side = activate(x.reshape(-1, BASE, BASE, features), BASE), BASE
        old = x
        while side < self.size:
            old, side = x, 2 * side
            layer = ConvTranspose(features_at(side, self.width), *common, 4, name=f"block_{side}")
            x = activate(layer(x, train), side)
        if not self.grown:
            return image(x, side)
        return _blend(upsample_nearest(image(old, side // 2)), image(x, side), alpha)


class Critic(nn.Module):
    """Critic that maps an image to a logit.

    If ``grown``, the critic's first layers fade in before those of half the size.

    Attributes:
      width: Number of feature maps at 64 × 64 pixels. Each halving of the side doubles the number, up to
        eight times the width.
      norm: Normalisation, which is batch, layer, none or spectral.
      grown: Whether α blends the first features with those of the downsampled image.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    width: int = 16
    norm: str = "none"
    grown: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, alpha: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) α to (B,) logits."""
        size = x.shape[1]
        _check(size, self.norm)
        spectral = self.norm == "spectral"

        def enter(image: Array, side: int) -> Array:
            features = features_at(side, self.width)
            first = Conv(features, True, spectral, _kernel_init, self.dtype, 1, name=f"from_image_{side}")
            return nn.leaky_relu(first(image, train), 0.2)

        def halve(y: Array, side: int) -> Array:
            features = features_at(side // 2, self.width)
            use_bias = self.norm in ("none", "spectral")
            layer = Conv(
                features, use_bias, spectral, _kernel_init, self.dtype, 4, stride=2, name=f"block_{side}"
            )
            return nn.leaky_relu(Norm(self.norm, name=f"norm_{side}")(layer(y, train), train), 0.2)

        y, side = halve(enter(x, size), size), size // 2
        if self.grown:
            y = _blend(enter(mean_pool(x), side), y, alpha)
        while side > BASE:
            y, side = halve(y, side), side // 2
        last = Dense(1, True, spectral, _kernel_init, self.dtype, name="score")
        return last(y.reshape(len(y), -1), train)[:, 0].astype(jnp.float32)
