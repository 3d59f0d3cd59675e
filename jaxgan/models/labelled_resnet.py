"""Residual generator with labels: conditional batch normalisation inside the blocks, plain at the output.

References:
  Gulrajani et al., 2017, Improved Training of Wasserstein GANs, appendix F,
  https://arxiv.org/abs/1704.00028
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import BatchNorm, Conv, Dense, UpsampleConv
from jaxgan.layers.conditional_norm import ConditionalBatchNorm
from jaxgan.models.resnet import check
from jaxgan.ops.resample import upsample_nearest

Array = jax.Array

# The initialisers are those of jaxgan.models.resnet.
_block_init = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
_shortcut_init = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")


class GeneratorBlock(nn.Module):
    """Residual block of :mod:`jaxgan.models.resnet` with a scale and a shift per class in both norms."""

    features: int
    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, H, W, I) and (B,) labels to (B, 2H, 2W, features)."""
        block = (self.features, True, False, _block_init, self.dtype)
        shortcut = (*block[:3], _shortcut_init, self.dtype)
        y = nn.relu(ConditionalBatchNorm(self.classes)(x, labels, train))
        y = UpsampleConv(*block)(y, train)
        y = nn.relu(ConditionalBatchNorm(self.classes)(y, labels, train))
        y = Conv(*block)(y, train)
        # A 1 × 1 convolution commutes with upsampling and is cheaper on the smaller images.
        return y + upsample_nearest(Conv(*shortcut, kernel_size=1)(x, train))


class Generator(nn.Module):
    """Generator that maps a code and a label to an image, doubling the side in every block.

    Attributes:
      size: Side of the image in pixels, one of ``jaxgan.models.resnet.SIZES``.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Number of feature maps of every block (128 in the paper).
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int
    classes: int
    width: int = 128
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1]."""
        check(self.size, "batch", self.width)
        common = (True, False, _shortcut_init, self.dtype)
        x = Dense(16 * self.width, *common)(z, train).reshape(-1, 4, 4, self.width)
        while x.shape[1] < self.size:
            x = GeneratorBlock(self.width, self.classes, self.dtype)(x, labels, train)
        x = nn.relu(BatchNorm()(x, train))
        return jnp.tanh(Conv(self.channels, *common)(x, train).astype(jnp.float32))
