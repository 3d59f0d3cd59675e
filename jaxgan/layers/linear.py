"""Dense and convolutional layers, each spectrally normalised on request."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.ops import conv, spectral

Array = jax.Array
Initializer = Callable[..., Array]


def multiply(x: Array, kernel: Array) -> Array:
    """x W, (B, I) by (I, O): where I or O is 2, as for points in the plane, column by column.

    A product with a side of 1 is a scaling or a sum, which compilers fuse or run at the pace of memory, and
    so are its derivatives; one with a side of 2 is a product of matrices, and costs a CPU several times as
    much. In float32 only: a sum of two in bfloat16 would be rounded in between.
    """
    inputs, outputs = kernel.shape
    if x.dtype != jnp.float32 or 2 not in (inputs, outputs):
        return jnp.matmul(x, kernel)
    if outputs == 2:
        return jnp.concatenate([jnp.matmul(x, column) for column in jnp.split(kernel, 2, 1)], 1)
    (x0, x1), (row0, row1) = jnp.split(x, 2, 1), jnp.split(kernel, 2, 0)
    return jnp.matmul(x0, row0) + jnp.matmul(x1, row1)


class Dense(nn.Module):
    """y = x W + b, with W over its largest singular value if ``spectral``.

    Parameters and σ are float32; x, W and b take part, and y comes out, in ``dtype``.
    """

    features: int
    use_bias: bool = True
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    def kernel(self, x: Array, train: bool, *window: int) -> Array:
        """The layer's kernel for inputs x, (*window, in, out), normalised on request."""
        kernel = self.parameter((*window, x.shape[-1], self.features))
        return spectral.normalize(self, kernel, train=train) if self.spectral else kernel

    def parameter(self, shape: tuple[int, ...]) -> Array:
        """The kernel as it is learnt."""
        return self.param("kernel", self.kernel_init, shape)

    def affine(self, multiply: Callable[[Array, Array], Array], x: Array, kernel: Array) -> Array:
        """``multiply(x, kernel)`` in the layer's ``dtype``, plus its bias, if it has one."""
        y = multiply(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.use_bias:
            return y
        # In float32, for the bias' gradient is a sum over all pixels: in bfloat16 it would stop growing.
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return (y + bias).astype(self.dtype)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, I) to (B, features)."""
        return self.affine(multiply, x, self.kernel(x, train))


class Conv(Dense):
    """Strided convolution with padding SAME; the kernel is (k, k, in, out)."""

    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, H, W, I) to (B, ⌈H/stride⌉, ⌈W/stride⌉, features)."""
        window = (self.kernel_size, self.kernel_size)
        geometry = conv.same(x.shape[1:3], window, self.stride)
        return self.affine(lambda x, w: conv.conv(x, w, geometry), x, self.kernel(x, train, *window))


class ConvTranspose(Dense):
    """Fractionally-strided convolution, the transpose of :class:`Conv`; the kernel is (k, k, out, in)."""

    kernel_size: int = 4
    stride: int = 2

    def parameter(self, shape: tuple[int, ...]) -> Array:
        """The kernel as it is learnt, its last axes swapped.

        It is stored as its gradient comes, so that the optimiser need not turn its arrays over. Initial
        values and σ are those of (k, k, in, out): initialisers tell by the axes what comes in and goes out.
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
    """The sum of a kernel and its shifts by a pixel: (k, k, I, O) to (k + 1, k + 1, I, O)."""
    for axis in (0, 1):
        before, after = [[(0, 0)] * 4 for _ in range(2)]
        before[axis], after[axis] = (1, 0), (0, 1)
        kernel = jnp.pad(kernel, before) + jnp.pad(kernel, after)
    return kernel


class UpsampleConv(Dense):
    """Nearest-neighbour upsampling by 2, then a convolution of odd size with padding SAME.

    Each output pixel sees at most two inputs a side, so the two are one fractionally-strided convolution by
    the kernel's sum over neighbouring pixels: the same numbers from 4 products instead of 9, at size 3.
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
    """A convolution of odd size with padding SAME, then the mean over 2 × 2 pixels.

    The two are one convolution of stride 2 by the kernel's mean over neighbouring pixels.
    """

    kernel_size: int = 3

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, 2H, 2W, I) to (B, H, W, features)."""
        kernel = _box(self.kernel(x, train, self.kernel_size, self.kernel_size)) / 4
        geometry = conv.same(x.shape[1:3], kernel.shape[:2], 2)
        return self.affine(lambda x, w: conv.conv(x, w, geometry), x, kernel)
