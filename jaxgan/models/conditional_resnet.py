"""Class-conditional residual networks: conditional batch normalisation against a projection critic.

The blocks are those of :mod:`jaxgan.models.resnet`. With spectral normalisation in both networks and
self-attention, the networks are SAGAN's.

References:
  Miyato and Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
  Zhang et al., 2019, Self-Attention Generative Adversarial Networks, https://arxiv.org/abs/1805.08318
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import BatchNorm, Dense
from jaxgan.layers.conditional_norm import ConditionalBatchNorm
from jaxgan.models.conditional_dcgan import project
from jaxgan.models.resnet import check, doublings, downsample, shortcut_init, upsample

Array = jax.Array


class Generator(nn.Module):
    """Residual generator with a scale and a shift per class in the batch normalisations of its blocks.

    The batch normalisation before the output layer is unconditional.

    Attributes:
      size: Side of the image in pixels.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Number of feature maps of every block, or of the last block if ``pyramid``.
      pyramid: Whether the number of feature maps halves in every block except the first.
      spectral: Whether kernels are divided by their largest singular values.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the blocks' outputs with self-attention.
    """

    size: int
    channels: int
    classes: int
    width: int = 64
    pyramid: bool = False
    spectral: bool = False
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1]."""
        check(self.size, "batch", self.width)
        blocks = doublings(self.size)
        return upsample(
            self,
            z,
            train,
            widths=[self.width << (self.pyramid * (blocks - 1 - i)) for i in range(blocks)],
            inner=lambda x: ConditionalBatchNorm(self.classes)(x, labels, train),
            outer=lambda x: BatchNorm()(x, train),
            spectral=self.spectral,
        )


class Critic(nn.Module):
    """Residual critic with spectral normalisation, whose logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩.

    φ(x) is a sum over pixels of ReLU features, and is sown as ``features`` into ``intermediates``.

    Attributes:
      classes: Number of labels.
      width: Number of feature maps of every block, or of the first block if ``pyramid``.
      pyramid: Whether the blocks pool to 4 × 4 pixels, double the number of feature maps in every block
        after the first, and are followed by one block that does neither. Otherwise they pool to 8 × 8
        pixels at a constant width, and two blocks that do not pool follow.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      attention: Sides in pixels of the blocks' outputs with self-attention.
    """

    classes: int
    width: int = 64
    pyramid: bool = False
    dtype: Any = jnp.float32
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) labels to (B,) logits."""
        check(x.shape[1], "spectral", self.width)
        pools = doublings(x.shape[1]) - (not self.pyramid)
        growing = [self.width << i for i in range(pools)]
        widths = [*growing, growing[-1]] if self.pyramid else (pools + 2) * [self.width]
        x = downsample(self, x, train, widths=widths, pools=pools, norm="spectral")
        last = Dense(1, True, True, shortcut_init, self.dtype)
        return project(x, labels, train, classes=self.classes, last=last)
