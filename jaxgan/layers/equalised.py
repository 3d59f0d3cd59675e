"""Layers with an equalised learning rate, as in ProGAN and StyleGAN.

Kernels are initialised as N(0, 1) and are scaled when they are used, not when they are initialised. An
optimiser that normalises its steps, such as Adam, then changes all layers at the same relative speed,
whatever their fan-in.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan import layers
from jaxgan.ops import conv

Array = jax.Array


def equalised(module: nn.Module, shape: tuple[int, ...], *, gain: float, lr_multiplier: float) -> Array:
    """Declares a module's parameter ``kernel`` and returns it scaled; must be called in a compact method.

    W = gain · lr_multiplier / √fan_in · kernel,  kernel ~ N(0, 1 / lr_multiplier²) at initialisation

    W therefore starts with standard deviation gain / √fan_in and learns lr_multiplier times as fast.

    Args:
      module: Module that owns the kernel.
      shape: Shape (..., out) of the kernel; fan_in is the product of all sides but the last.
      gain: Standard deviation of the outputs for inputs of standard deviation 1.
      lr_multiplier: Factor on the learning rate, for optimisers that normalise their steps.

    Returns:
      Scaled kernel W, float32 of the given shape.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 4.1, https://arxiv.org/abs/1710.10196
    """
    kernel = module.param("kernel", nn.initializers.normal(1 / lr_multiplier), shape)
    return kernel * (gain * lr_multiplier / math.sqrt(math.prod(shape[:-1])))


class EqualisedDense(nn.Module):
    """Dense layer y = x W + b with W and b scaled at run time.

    Parameters are float32. The product is computed in ``dtype``, b is added in float32, and y has type
    ``dtype``.

    Attributes:
      features: Number of outputs.
      use_bias: Whether the layer has a bias b.
      gain: Standard deviation of y for inputs of standard deviation 1. The papers use √2 before a leaky
        ReLU and 1 elsewhere.
      lr_multiplier: Factor on the learning rate of W and b; 0.01 in StyleGAN's mapping network.
      bias_init: Initial value of b; 1 in StyleGAN2's style layers.
      dtype: Type of the activations.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 4.1, https://arxiv.org/abs/1710.10196
      Karras et al., 2019, A Style-Based Generator Architecture for GANs, https://arxiv.org/abs/1812.04948
    """

    features: int
    use_bias: bool = True
    gain: float = math.sqrt(2)
    lr_multiplier: float = 1.0
    bias_init: float = 0.0
    dtype: Any = jnp.float32

    def kernel(self, *shape: int) -> Array:
        """Returns the scaled kernel, (*shape, features)."""
        return equalised(self, (*shape, self.features), gain=self.gain, lr_multiplier=self.lr_multiplier)

    def add_bias(self, y: Array) -> Array:
        """Adds the scaled bias if the layer has one."""
        if not self.use_bias:
            return y
        init = nn.initializers.constant(self.bias_init / self.lr_multiplier)
        bias = self.param("bias", init, (self.features,))
        # The bias is added in float32 because its gradient is a sum over all pixels, which would stop
        # growing in bfloat16.
        return (y + self.lr_multiplier * bias).astype(self.dtype)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        kernel = self.kernel(x.shape[-1])
        return self.add_bias(layers.multiply(x.astype(self.dtype), kernel.astype(self.dtype)))


class EqualisedConv(EqualisedDense):
    """Strided convolution with a (k, k, in, out) kernel and a bias that are scaled at run time.

    Attributes:
      kernel_size: Side k of the kernel, in pixels.
      stride: Distance between neighbouring windows, in pixels.
      padding: Zeros on every side; None means padding SAME. StyleGAN2's strided convolutions use 0, because
        the blur before them pads.
    """

    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, H', W', features); H' = ⌈H/stride⌉ with padding SAME."""
        window = (self.kernel_size, self.kernel_size)
        geometry = conv.same(x.shape[1:3], window, self.stride)
        if self.padding is not None:
            geometry = geometry._replace(padding=((self.padding,) * 2,) * 2)
        kernel = self.kernel(*window, x.shape[-1])
        return self.add_bias(conv.conv(x.astype(self.dtype), kernel.astype(self.dtype), geometry))
