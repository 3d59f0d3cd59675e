"""Normalisation by condition or by sample: conditional batch norm, AdaIN, instance norm and pixel norm."""

import math
from collections.abc import Callable

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import layers
from jaxgan.errors import SetupError
from jaxgan.layers.embedding import Embed
from jaxgan.ops import batch_norm

Array = jax.Array
Initializer = Callable[..., Array]


def _per_sample(parameters: Array, x: Array) -> Array:
    """Reshapes (B, C) parameters to (B, 1, ..., 1, C), with as many axes as x has."""
    return parameters.reshape(len(x), *[1] * (x.ndim - 2), x.shape[-1])


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose scale and bias depend on each sample's condition.

    y = γ(c) · (x − mean) / √(var + ε) + β(c)

    With ``num_classes``, the condition is a label, and γ (initially 1) and β (initially 0) are learnt per
    class, as in projection GANs. Otherwise the condition is a vector, and γ(c) = 1 + c W, β(c) = c V, as in
    BigGAN.

    The moments are those of the batch in training and running averages from ``batch_stats`` in evaluation,
    exactly as in :class:`jaxgan.layers.BatchNorm`. Moments, γ and β are float32 whatever the type of x.

    Attributes:
      num_classes: Number of labels; None for vector conditions.
      spectral: Whether W and V are divided by their largest singular values. Tables of labels are never
        divided.
      kernel_init: Initialiser of W and V.
      momentum: Share of the running averages that is kept in an update.
      epsilon: Constant ε.

    References:
      Dumoulin et al., 2017, A Learned Representation for Artistic Style, https://arxiv.org/abs/1610.07629
      Miyato & Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
      Brock et al., 2019, Large Scale GAN Training, appendix B, https://arxiv.org/abs/1809.11096
    """

    num_classes: int | None = None
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    momentum: float = 0.9
    epsilon: float = 1e-5

    def parameters(self, condition: Array, channels: int, train: bool) -> tuple[Array, Array]:
        """Returns γ(c) and β(c), each (B, C)."""
        if self.num_classes is not None:
            ones, zeros = nn.initializers.ones, nn.initializers.zeros
            scale = Embed(self.num_classes, channels, kernel_init=ones, name="scale")(condition, train)
            return scale, Embed(self.num_classes, channels, kernel_init=zeros, name="bias")(
                condition, train
            )
        chex.assert_rank(condition, 2)
        scale, bias = (
            layers.Dense(channels, False, self.spectral, self.kernel_init, name=name)(condition, train)
            for name in ("scale", "bias")
        )
        return 1 + scale, bias

    @nn.compact
    def __call__(self, x: Array, condition: Array, train: bool) -> Array:
        """Maps (B, ..., C) and (B,) labels or (B, D) vectors to the shape and type of x."""
        channels = x.shape[-1]
        scale, bias = self.parameters(condition, channels, train)
        mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        var = self.variable("batch_stats", "var", jnp.ones, (channels,))
        y = x.astype(jnp.float32)
        if train:
            y, *moments = batch_norm.batch_norm(y, jnp.ones(channels), jnp.zeros(channels), self.epsilon)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                for average, moment in zip((mean, var), moments, strict=True):
                    average.value = self.momentum * average.value + (1 - self.momentum) * moment
        else:
            y = (y - mean.value) * lax.rsqrt(var.value + self.epsilon)
        return (y * _per_sample(scale, x) + _per_sample(bias, x)).astype(x.dtype)


def _standardise(x: Array, epsilon: float) -> Array:
    """Computes (x − mean) / √(var + ε) per sample and channel, in float32."""
    if math.prod(x.shape[1:-1]) == 1:
        raise SetupError(f"instance norm of a single pixel is always 0: its input has shape {x.shape}")
    x, axes = x.astype(jnp.float32), tuple(range(1, x.ndim - 1))
    x = x - jnp.mean(x, axes, keepdims=True)
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axes, keepdims=True) + epsilon)


class InstanceNorm(nn.Module):
    """Normalisation of each channel of each image by its own mean and variance over pixels.

    y = (x − mean) / √(var + ε), then scale · y + bias if ``affine``

    There are no running statistics, so training and evaluation are the same. Moments are float32.

    Attributes:
      affine: Whether a scale (initially 1) and a bias (initially 0) are learnt per channel.
      epsilon: Constant ε.

    References:
      Ulyanov et al., 2016, Instance Normalization, https://arxiv.org/abs/1607.08022
    """

    affine: bool = False
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, C) to the same shape and type.

        Raises:
          SetupError: The images have a single pixel, which is its own mean.
        """
        y = _standardise(x, self.epsilon)
        if self.affine:
            y = y * self.param("scale", nn.initializers.ones, (x.shape[-1],))
            y = y + self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return y.astype(x.dtype)


class AdaIN(nn.Module):
    """Adaptive instance normalisation, which scales and shifts each image's channels by its style.

    y = (1 + s(w)) · (x − mean) / √(var + ε) + b(w)

    The moments are those of :class:`InstanceNorm`, and (s, b) is an affine map of the style w.

    Attributes:
      affine: Constructor of the layer that maps w to (s, b), which is called with the number of its
        features. StyleGAN uses an :class:`jaxgan.layers.equalised.EqualisedDense` of gain 1.
      epsilon: Constant ε; 1e-8 in StyleGAN.

    References:
      Huang & Belongie, 2017, Arbitrary Style Transfer with Adaptive Instance Normalization,
      https://arxiv.org/abs/1703.06868
      Karras et al., 2019, A Style-Based Generator Architecture for GANs, https://arxiv.org/abs/1812.04948
    """

    affine: Callable[..., nn.Module] = layers.Dense
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, w: Array, train: bool) -> Array:
        """Maps (B, H, W, C) images and (B, D) styles to the shape and type of x.

        Raises:
          SetupError: The images have a single pixel, which is its own mean.
        """
        style = self.affine(2 * x.shape[-1], name="style")(w, train).astype(jnp.float32)
        scale, bias = (_per_sample(part, x) for part in jnp.split(style, 2, -1))
        return ((1 + scale) * _standardise(x, self.epsilon) + bias).astype(x.dtype)


def pixel_norm(x: Array, epsilon: float = 1e-8) -> Array:
    """Divides each pixel by the root mean square of its channels: y = x / √(mean_C x² + ε).

    Args:
      x: Images or latents, (B, ..., C).
      epsilon: Constant ε inside the root.

    Returns:
      Array with the shape and type of x, computed in float32.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 4.2, https://arxiv.org/abs/1710.10196
    """
    y = x.astype(jnp.float32)
    return (y * lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + epsilon)).astype(x.dtype)
