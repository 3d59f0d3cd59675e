"""Class-conditional DCGANs, which are given labels as one-hot vectors or by their normalisation.

With one-hot labels in both players, they are the conditional GAN of Mirza and Osindero with DCGAN's layers.
With conditional batch normalisation and a projection critic, they are the form of Miyato and Koyama.

References:
  Mirza and Osindero, 2014, Conditional Generative Adversarial Nets, https://arxiv.org/abs/1411.1784
  Miyato and Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.errors import unknown
from jaxgan.layers import Dense, Norm
from jaxgan.layers.conditional_norm import ConditionalBatchNorm
from jaxgan.layers.embedding import Embed
from jaxgan.models.dcgan import check, downsample, kernel_init, scale_init, upsample

Array = jax.Array


def _check_labels(labels: str, valid: tuple[str, ...]) -> None:
    if labels not in valid:
        raise unknown("labels", labels, valid)


def project(features: Array, labels: Array, train: bool, *, classes: int, last: Dense) -> Array:
    """Computes the logits of a projection critic, ψ(φ) + ⟨v_y, φ⟩; must be called in a compact method.

    Args:
      features: Features φ, (B, F).
      labels: Labels y, (B,).
      train: Whether the pass is one in training.
      classes: Number of labels.
      last: Dense layer ψ with one output. The table of the v_y is divided by its largest singular value if
        the kernel of ψ is, and has Glorot's initial values.

    Returns:
      The logits, (B,), in float32.
    """
    table = Embed(classes, features.shape[-1], last.spectral, nn.initializers.glorot_normal())
    projection = jnp.sum(table(labels, train) * features.astype(jnp.float32), -1)
    return last(features, train)[:, 0].astype(jnp.float32) + projection


class Generator(nn.Module):
    """DCGAN's generator with class labels.

    Attributes:
      size: Side of the image in pixels.
      channels: Number of colour channels of the image.
      classes: Number of labels.
      width: Number of feature maps in the last hidden layer; the first has width·2^(doublings − 1).
      kernel_size: Side of the kernel of every fractionally-strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      labels: Path of the labels: norm for a scale and a shift per class in each batch normalisation, or
        one_hot for one-hot vectors that are appended to the code.
      attention: Sides in pixels of the hidden feature maps with self-attention.
    """

    size: int
    channels: int
    classes: int
    width: int = 64
    kernel_size: int = 4
    dtype: Any = jnp.float32
    labels: str = "norm"
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, z: Array, labels: Array, train: bool) -> Array:
        """Maps (B, dim) codes and (B,) labels to (B, size, size, channels) images in [−1, 1]."""
        check("batch", self.width, self.kernel_size)
        _check_labels(self.labels, ("norm", "one_hot"))

        def normalise(x: Array) -> Array:
            if self.labels == "norm":
                return ConditionalBatchNorm(self.classes)(x, labels, train)
            return Norm("batch", scale_init)(x, train)

        if self.labels == "one_hot":
            z = jnp.concatenate([z, jax.nn.one_hot(labels, self.classes, dtype=z.dtype)], -1)
        return upsample(self, z, train, normalise, use_bias=False, spectral=False)


class Critic(nn.Module):
    """DCGAN's critic with class labels.

    The inputs of the last layer are sown as ``features`` into ``intermediates``.

    Attributes:
      classes: Number of labels.
      width: Number of feature maps in the first layer.
      kernel_size: Side of the kernel of every strided convolution (stride 2), in pixels.
      dtype: Type of activations and of the products' operands; parameters, moments and results are float32.
      labels: Path of the labels: projection for the logit ψ(φ(x)) + ⟨v_y, φ(x)⟩, or one_hot for one
        constant feature map per class, of ones or zeros, that is appended to the image.
      norm: Normalisation, which is batch, layer, none or spectral.
      attention: Sides in pixels of the hidden feature maps with self-attention.
    """

    classes: int
    width: int = 64
    kernel_size: int = 4
    dtype: Any = jnp.float32
    labels: str = "projection"
    norm: str = "spectral"
    attention: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Array, labels: Array, train: bool) -> Array:
        """Maps (B, size, size, channels) images and (B,) labels to (B,) logits."""
        _check_labels(self.labels, ("projection", "one_hot"))
        if self.labels == "one_hot":
            maps = jax.nn.one_hot(labels, self.classes, dtype=x.dtype)[:, None, None]
            x = jnp.concatenate([x, jnp.broadcast_to(maps, (*x.shape[:3], self.classes))], -1)
        x = downsample(self, x, train, self.attention)
        self.sow("intermediates", "features", x)
        last = Dense(1, True, self.norm == "spectral", kernel_init, self.dtype)
        if self.labels == "one_hot":
            return last(x, train)[:, 0].astype(jnp.float32)
        return project(x, labels, train, classes=self.classes, last=last)
