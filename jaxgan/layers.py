"""Layers that models are made of: dense and convolutional, each spectrally normalised on request."""

from collections.abc import Callable

import flax.linen as nn
import jax

from jaxgan import conv, spectral

Array = jax.Array
Initializer = Callable[..., Array]

NORMS = ("batch", "layer", "none", "spectral")


class Dense(nn.Module):
    """y = x W + b, with W over its largest singular value if ``spectral``."""

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        if self.spectral:
            kernel = spectral.normalize(self, kernel, train=train)
        y = x @ kernel
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


class Conv(nn.Module):
    """Strided convolution with padding SAME; the kernel is (k, k, in, out)."""

    features: int
    kernel_size: int
    stride: int = 1
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features)."""
        window = (self.kernel_size, self.kernel_size)
        kernel = self.param("kernel", self.kernel_init, (*window, x.shape[-1], self.features))
        if self.spectral:
            kernel = spectral.normalize(self, kernel, train=train)
        y = conv.conv(x, kernel, conv.same(x.shape[1:3], window, self.stride))
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


class ConvTranspose(nn.Module):
    """Fractionally-strided convolution, the transpose of :class:`Conv`; the kernel is (k, k, in, out)."""

    features: int
    kernel_size: int
    stride: int = 2
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, stride·H, stride·W, features)."""
        window = (self.kernel_size, self.kernel_size)
        kernel = self.param("kernel", self.kernel_init, (*window, x.shape[-1], self.features))
        if self.spectral:
            kernel = spectral.normalize(self, kernel, train=train)
        size = (x.shape[1] * self.stride, x.shape[2] * self.stride)
        y = conv.transpose(x, kernel.swapaxes(2, 3), conv.same(size, window, self.stride))
        return y + self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else y


class Norm(nn.Module):
    """The normalisation between layers: batch, layer, or nothing for none and spectral.

    Batch statistics are those of the global batch under ``jit``; under ``pmap``, given its
    ``axis_name``, they are averaged over it and come to the same.
    """

    kind: str
    axis_name: str | None = None
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ..., C) to the same shape."""
        if self.kind == "batch":
            return nn.BatchNorm(
                use_running_average=not train,
                momentum=0.9,
                epsilon=1e-5,
                scale_init=self.scale_init,
                axis_name=self.axis_name,
                name="batch_norm",
            )(x)
        if self.kind == "layer":
            # Over all of a sample, with a scale per channel, as WGAN-GP does for want of batch statistics.
            axes = tuple(range(1, x.ndim))
            return nn.LayerNorm(
                reduction_axes=axes, scale_init=self.scale_init, epsilon=1e-5, name="layer_norm"
            )(x)
        return x
