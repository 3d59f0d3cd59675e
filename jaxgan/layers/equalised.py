"""Layers with an equalised learning rate, as in ProGAN and StyleGAN.

Kernels start as N(0, 1) and are scaled when they are used, not when they are initialised. An optimiser that
normalises its steps, such as Adam, then changes all layers at the same relative speed, whatever their
fan-in.
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
    """Declares a module's parameter ``kernel`` and returns it scaled; to be called in a compact method.

    W = gain · lr_multiplier / √fan_in · kernel,  kernel ~ N(0, 1 / lr_multiplier²) at initialisation

    so that W starts with standard deviation gain / √fan_in and learns lr_multiplier times as fast.

    Args:
      module: the module that owns the kernel.
      shape: (..., out); fan_in is the product of all sides but the last.
      gain: standard deviation of outputs for inputs of standard deviation 1.
      lr_multiplier: factor on the learning rate, for optimisers that normalise their steps.

    Returns:
      W, float32 of the given shape.

    References:
      Karras et al., 2018, Progressive Growing of GANs, section 4.1, https://arxiv.org/abs/1710.10196
    """
    kernel = module.param("kernel", nn.initializers.normal(1 / lr_multiplier), shape)
    return kernel * (gain * lr_multiplier / math.sqrt(math.prod(shape[:-1])))


class EqualisedDense(nn.Module):
    """y = x W + b, with W and b scaled at run time.

    Parameters are float32; x, W and b take part, and y comes out, in ``dtype``.

    Attributes:
      features: outputs.
      use_bias: whether there is a b.
      gain: standard deviation of y for inputs of standard deviation 1. The papers have √2 before a leaky
        ReLU and 1 elsewhere.
      lr_multiplier: how much faster W and b learn than others; 0.01 in StyleGAN's mapping.
      bias_init: what b starts as: 1 in StyleGAN2's style layers.
      dtype: type of the activations.

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
        """The scaled kernel, (*shape, features)."""
        return equalised(self, (*shape, self.features), gain=self.gain, lr_multiplier=self.lr_multiplier)

    def add_bias(self, y: Array) -> Array:
        """Adds the scaled bias, if there is one."""
        if not self.use_bias:
            return y
        init = nn.initializers.constant(self.bias_init / self.lr_multiplier)
        bias = self.param("bias", init, (self.features,))
        # In float32, for the bias' gradient is a sum over all pixels: in bfloat16 it would stop growing.
        return (y + self.lr_multiplier * bias).astype(self.dtype)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        kernel = self.kernel(x.shape[-1])
        return self.add_bias(layers.multiply(x.astype(self.dtype), kernel.astype(self.dtype)))


class EqualisedConv(EqualisedDense):
    """Strided convolution with a kernel (k, k, in, out) and a bias that are scaled at run time.

    Attributes:
      kernel_size: k.
      stride: pixels between the windows.
      padding: zeros on every side; None pads as SAME. StyleGAN2's strided convolutions have none, since the
        blur before them pads.
    """

    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, H', W', features); H' = ⌈H/stride⌉ if padded as SAME."""
        window = (self.kernel_size, self.kernel_size)
        geometry = conv.same(x.shape[1:3], window, self.stride)
        if self.padding is not None:
            geometry = geometry._replace(padding=((self.padding,) * 2,) * 2)
        kernel = self.kernel(*window, x.shape[-1])
        return self.add_bias(conv.conv(x.astype(self.dtype), kernel.astype(self.dtype), geometry))
