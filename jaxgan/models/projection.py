"""Class-conditional DCGAN with conditional batch normalisation in the generator and a projection critic.

References:
  Miyato and Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers import Conv, ConvTranspose, Dense
from jaxgan.layers.conditional_norm import ConditionalBatchNorm
from jaxgan.layers.embedding import Embed
from jaxgan.models.dcgan import check, stages

Array = jax.Array

_kernel_init = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """DCGAN's generator with a scale and a shift per class in each of its batch normalisations.

    Attributes:
      size: Side of the image in pixels.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Number of feature maps in the last hidden layer; the first has width·2^(doublings − 1).
      kernel_size: Side of the kernel of every fractionally-strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    size: int
    channels: int
    classes: int
    width: int = 64
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1]."""
        check("batch", self.width, self.kernel_size)
        base, doublings = stages(self.size)
        common = (False, False, _kernel_init, self.dtype)

        def activate(x: Array) -> Array:
            return nn.relu(ConditionalBatchNorm(self.classes)(x, labels, train))

        features = self.width * 2 ** (doublings - 1)
        x = Dense(base * base * features, *common)(z, train)
        x = activate(x.reshape(-1, base, base, features))
        for _ in range(doublings - 1):
            features //= 2
            x = activate(ConvTranspose(features, *common, self.kernel_size)(x, train))
        last = ConvTranspose(self.channels, True, False, _kernel_init, self.dtype, self.kernel_size)
        return jnp.tanh(last(x, train).astype(jnp.float32))


class Critic(nn.Module):
    """DCGAN's critic with spectral normalisation, whose logit is ψ(φ(x)) + ⟨v_y, φ(x)⟩.

    Attributes:
      classes: Number of labels.
      width: Number of feature maps in the first layer.
      kernel_size: Side of the kernel of every strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
    """

    classes: int
    width: int = 64
    kernel_size: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) labels to (B,) logits."""
        check("spectral", self.width, self.kernel_size)
        _, doublings = stages(x.shape[1])
        for i in range(doublings):
            features = self.width * 2**i
            conv = Conv(features, True, True, _kernel_init, self.dtype, self.kernel_size, stride=2)
            x = nn.leaky_relu(conv(x, train), 0.2)
        x = x.reshape(x.shape[0], -1)
        self.sow("intermediates", "features", x)
        psi = Dense(1, True, True, _kernel_init, self.dtype)(x, train)[:, 0].astype(jnp.float32)
        table = Embed(self.classes, x.shape[-1], spectral=True, kernel_init=nn.initializers.glorot_normal())
        return psi + jnp.sum(table(labels, train) * x.astype(jnp.float32), -1)
