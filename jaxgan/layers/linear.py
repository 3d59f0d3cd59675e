"""Dense and convolutional layers with optional spectral normalisation."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.ops import conv, spectral

Array = jax.Array
Initializer = Callable[..., Array]


def multiply(x: Array, kernel: Array) -> Array:
    """Computes x W for (B, I) and (I, O), column by column where I or O is 2.

    The case of 2 occurs for points in the plane. A product with a side of 1 is a scaling or a sum, which
    compilers fuse or run at the speed of memory, and so are its derivatives; a product with a side of 2 is
    a general matrix product, which is slower on a CPU. Products are split in float32 only, because in
    bfloat16 the two terms would be rounded before they are added.
    """
    inputs, outputs = kernel.shape
    if x.dtype != jnp.float32 or 2 not in (inputs, outputs):
        return jnp.matmul(x, kernel)
    if outputs == 2:
        return jnp.concatenate([jnp.matmul(x, column) for column in jnp.split(kernel, 2, 1)], 1)
    (x0, x1), (row0, row1) = jnp.split(x, 2, 1), jnp.split(kernel, 2, 0)
    return jnp.matmul(x0, row0) + jnp.matmul(x1, row1)


class Dense(nn.Module):
    """Dense layer y = x W + b, with W divided by its largest singular value σ if ``spectral``.

    Parameters and σ are float32. The product is computed in ``dtype``, b is added in float32, and y has
    type ``dtype``.
    """

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    def kernel(self, x: Array, train: bool, *window: int) -> Array:
        """Returns the kernel for inputs x, (*window, in, out), normalised if ``spectral``."""
        kernel = self.parameter((*window, x.shape[-1], self.features))
        return spectral.normalize(self, kernel, train=train) if self.spectral else kernel

    def parameter(self, shape: tuple[int, ...]) -> Array:
        """Returns the learnt kernel, before normalisation."""
        return self.param("kernel", self.kernel_init, shape)

    def affine(self, multiply: Callable[[Array, Array], Array], x: Array, kernel: Array) -> Array:
        """Computes ``multiply(x, kernel)`` in the layer's ``dtype`` and adds the bias if there is one."""
        y = multiply(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return y
        # The bias is added in float32 because its gradient is a sum over all pixels, which would stop
        # growing in bfloat16.
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return (y + bias).astype(self.dtype)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        return self.affine(multiply, x, self.kernel(x, train))


class Conv(Dense):
    """Strided convolution with padding SAME and a (k, k, in, out) kernel."""

    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features)."""
        window = (self.kernel_size, self.kernel_size)
        geometry = conv.same(x.shape[1:3], window, self.stride)
        return self.affine(lambda x, w: conv.conv(x, w, geometry), x, self.kernel(x, train, *window))


class ConvTranspose(Dense):
    """Fractionally-strided convolution with a (k, k, out, in) kernel, the transpose of :class:`Conv`."""

    kernel_size: int = 4
    stride: int = 2

    def parameter(self, shape: tuple[int, ...]) -> Array:
        """Returns the learnt kernel with its last two axes swapped.

        The kernel is stored in the layout of its gradient, so that the optimiser does not have to transpose
        its arrays. The initial values and σ are those of a (k, k, in, out) kernel, because initialisers
        take the numbers of inputs and outputs from the last two axes.
        """
        stored = self.param("kernel", lambda key: self.kernel_init(key, shape).swapaxes(-2, -1))
        return stored.swapaxes(-2, -1)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, stride·H, stride·W, features)."""
        window = (self.kernel_size, self.kernel_size)
        geometry = conv.same((x.shape[1] * self.stride, x.shape[2] * self.stride), window, self.stride)
        kernel = self.kernel(x, train, *window).swapaxes(2, 3)
        return self.affine(lambda x, w: conv.transpose(x, w, geometry), x, kernel)


def _box(kernel: Array) -> Array:
    """Sums a kernel and its shifts by one pixel: (k, k, I, O) to (k + 1, k + 1, I, O)."""
    for axis in (0, 1):
        before, after = [[(0, 0)] * 4 for _ in range(2)]
        before[axis], after[axis] = (1, 0), (0, 1)
        kernel = jnp.pad(kernel, before) + jnp.pad(kernel, after)
    return kernel


class UpsampleConv(Dense):
    """Nearest-neighbour upsampling by 2, followed by a convolution of odd size with padding SAME.

    Upsampled pixels are equal in pairs, so the two steps are one fractionally-strided convolution with the
    kernel's sum over neighbouring pixels. For size 3, this gives the same numbers with 4 products instead
    of 9.
    """

    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, 2H, 2W, features)."""
        kernel = _box(self.kernel(x, train, self.kernel_size, self.kernel_size))
        kernel = kernel[::-1, ::-1].swapaxes(2, 3)
        geometry = conv.same((2 * x.shape[1], 2 * x.shape[2]), kernel.shape[:2], 2)
        return self.affine(lambda x, w: conv.transpose(x, w, geometry), x, kernel)


class ConvMeanPool(Dense):
    """Convolution of odd size with padding SAME, followed by the mean over 2 × 2 pixels.

    The two steps are one convolution of stride 2 with the kernel's mean over neighbouring pixels.
    """

    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, 2H, 2W, I) to (B, H, W, features)."""
        kernel = _box(self.kernel(x, train, self.kernel_size, self.kernel_size)) / 4
        geometry = conv.same(x.shape[1:3], kernel.shape[:2], 2)
        return self.affine(lambda x, w: conv.conv(x, w, geometry), x, kernel)
