"""Layers that models are made of: dense and convolutional, each spectrally normalised on request."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxgan import conv, parallel, spectral

Array = jax.Array
Initializer = Callable[..., Array]

NORMS = ("batch", "layer", "none", "spectral")


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


def upsample(x: Array) -> Array:
    """Nearest-neighbour upsampling by 2: (B, H, W, C) to (B, 2H, 2W, C)."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def mean_pool(x: Array) -> Array:
    """The mean over 2 × 2 pixels: (B, 2H, 2W, C) to (B, H, W, C)."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def _moments(x: Array) -> tuple[Array, Array]:
    x, axes = x.astype(jnp.float32), tuple(range(x.ndim - 1))
    mean, square = parallel.global_mean((jnp.mean(x, axes), jnp.mean(jnp.square(x), axes)))
    return mean, jnp.maximum(square - jnp.square(mean), 0.0)  # rounding may take it below


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: Array, scale: Array, bias: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """y = scale · (x − mean) / √(var + ε) + bias, by the batch's own mean and variance.

    All of it is computed in float32, and y rounded to the type of x.

    Its derivative is written out below: it keeps fewer arrays than the one JAX would derive.

    Args:
      x: (B, ..., C).
      scale: (C,).
      bias: (C,).
      epsilon: ε.

    Returns:
      y, as x in shape and type, and the biased mean and variance over all axes but the last, (C,) each, in
      float32. No gradient flows through the latter two.

    References:
      Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167
    """
    return _batch_norm_forward(x, scale, bias, epsilon)[0]


def _batch_norm_forward(
    x: Array, scale: Array, bias: Array, epsilon: float
) -> tuple[tuple[Array, Array, Array], tuple[Array, ...]]:
    mean, var = _moments(x)
    inverse = lax.rsqrt(var + epsilon)
    y = (x.astype(jnp.float32) - mean) * (inverse * scale) + bias
    return (y.astype(x.dtype), mean, var), (x, mean, inverse, scale)


def _batch_norm_backward(
    epsilon: float, residuals: tuple[Array, ...], gradients: tuple[Array, ...]
) -> tuple[Array, Array, Array]:
    x, mean, inverse, scale = residuals
    g, axes = gradients[0].astype(jnp.float32), tuple(range(x.ndim - 1))
    normal = (x.astype(jnp.float32) - mean) * inverse
    g_mean, g_normal = jnp.mean(g, axes), jnp.mean(g * normal, axes)
    count = x.size // x.shape[-1]
    d_scale, d_bias = count * g_normal, count * g_mean
    # The batch's moments depend on every sample, wherever it lies.
    g_mean, g_normal = parallel.global_mean((g_mean, g_normal))
    dx = scale * inverse * (g - g_mean - normal * g_normal)
    return dx.astype(x.dtype), d_scale, d_bias


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


class BatchNorm(nn.Module):
    """Batch normalisation, with averages of the batches' moments in ``batch_stats`` for evaluation."""

    scale_init: Initializer = nn.initializers.ones
    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ..., C) to the same shape and type."""
        shape = (x.shape[-1],)
        scale = self.param("scale", self.scale_init, shape)
        bias = self.param("bias", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        var = self.variable("batch_stats", "var", jnp.ones, shape)
        if not train:
            y = (x - mean.value) * (lax.rsqrt(var.value + self.epsilon) * scale) + bias
            return y.astype(x.dtype)
        y, *moments = batch_norm(x, scale, bias, self.epsilon)
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            for average, moment in zip((mean, var), moments, strict=True):
                average.value = self.momentum * average.value + (1 - self.momentum) * moment
        return y


class Norm(nn.Module):
    """The normalisation between layers: batch, layer, or nothing for none and spectral.

    Moments are float32 whatever the type of x.

    Batch statistics are those of the global batch.
    """

    kind: str
    scale_init: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Maps (B, ..., C) to the same shape and type."""
        if self.kind == "batch":
            return BatchNorm(self.scale_init, name="batch_norm")(x, train)
        if self.kind == "layer":
            # Over all of a sample, with a scale per channel, as WGAN-GP does for want of batch statistics.
            axes = tuple(range(1, x.ndim))
            return nn.LayerNorm(
                reduction_axes=axes,
                scale_init=self.scale_init,
                epsilon=1e-5,
                dtype=x.dtype,
                name="layer_norm",
            )(x)
        return x
