"""Strided convolution, its transpose and its kernel correlation, each other's derivatives.

The three are one trilinear form read three ways, for images x, kernels w and outputs y:

    ⟨conv(x, w), y⟩  =  ⟨x, transpose(y, w)⟩  =  ⟨w, correlate(x, y)⟩

so the derivative of each in either argument is one of the other two. Saying so keeps derivatives of every
order inside this file. It matters: left to itself, the kernel gradient of a transposed convolution
becomes a convolution over a dilated input, for which XLA's CPU backend has no fast kernel. As the kernel
correlation of the strided convolution, forward pass and gradient of such a layer of a DCGAN take 4 to 9
times less time: ``python -m benchmarks.transpose_gradient``.

Derivatives are reverse-mode (``jax.grad``, nested as often as wanted); ``jax.jvp`` is not defined.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


class Geometry(NamedTuple):
    """What fixes the three maps, hashable so that it may be static.

    Attributes:
      size: (H, W) of x, in pixels.
      kernel: (kh, kw) of w, in pixels.
      stride: pixels between the windows, in both directions.
      padding: ((top, bottom), (left, right)) zeros around x, in pixels.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    padding: tuple[tuple[int, int], tuple[int, int]]


def same(size: Sequence[int], kernel: Sequence[int], stride: int) -> Geometry:
    """The geometry whose output is ⌈size / stride⌉, the smaller half of the padding first."""

    def pad(length: int, window: int) -> tuple[int, int]:
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        return total // 2, total - total // 2

    padding = (pad(size[0], kernel[0]), pad(size[1], kernel[1]))
    return Geometry((size[0], size[1]), (kernel[0], kernel[1]), stride, padding)


def _forward(x: Array, w: Array, geometry: Geometry) -> Array:
    return lax.conv_general_dilated(
        x,
        w,
        (geometry.stride, geometry.stride),
        geometry.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *geometry.size, w.shape[2]), y.dtype)
    (out,) = jax.linear_transpose(lambda x: _forward(x, w, geometry), x)(y)
    return out


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: Array, w: Array, geometry: Geometry) -> Array:
    """Convolution (cross-correlation, as everywhere in deep learning).

    Args:
      x: (B, H, W, I) images.
      w: (kh, kw, I, O) kernel.
      geometry: see :func:`same`.

    Returns:
      (B, H', W', O).
    """
    return _forward(x, w, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    """The transpose of :func:`conv` in x: a fractionally-strided convolution.

    Args:
      y: (B, H', W', O), shaped as the convolution's output.
      w: (kh, kw, I, O) kernel, shaped as the convolution's.
      geometry: that of the convolution, so ``geometry.size`` is this map's output size.

    Returns:
      (B, H, W, I).
    """
    grow = max(
        0, *(-((side - window) // 2) for side, window in zip(y.shape[1:3], geometry.kernel, strict=True))
    )
    if not grow:
        return _transpose(y, w, geometry)

    def grown(y: Array, w: Array) -> Array:
        # XLA's CPU backend has no fast kernel for images smaller than the kernel (DCGAN's 4×4×1024 under
        # 5×5): zeros around y, and the edges they make cut off again, are 20 times faster there.
        (height, width), margin = geometry.size, grow * geometry.stride
        wide = geometry._replace(size=(height + 2 * margin, width + 2 * margin))
        out = _transpose(jnp.pad(y, ((0, 0), (grow, grow), (grow, grow), (0, 0))), w, wide)
        return out[:, margin : margin + height, margin : margin + width]

    return lax.platform_dependent(y, w, cpu=grown, default=lambda y, w: _transpose(y, w, geometry))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(x: Array, y: Array, geometry: Geometry) -> Array:
    """The transpose of :func:`conv` in w: the kernel that pairs images x with outputs y.

    Args:
      x: (B, H, W, I) images.
      y: (B, H', W', O), shaped as the convolution's output.
      geometry: that of the convolution.

    Returns:
      (kh, kw, I, O).
    """
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[3], y.shape[3]), y.dtype)
    (out,) = jax.linear_transpose(lambda w: _forward(x, w, geometry), w)(y)
    return out


def _keep(
    function: Callable[..., Array],
) -> Callable[..., Any]:  # the forward rule of all three: the operands are the residuals
    return lambda a, b, geometry: (function(a, b, geometry), (a, b))


conv.defvjp(
    _keep(conv),
    lambda geometry, xw, g: (transpose(g, xw[1], geometry), correlate(xw[0], g, geometry)),
)
transpose.defvjp(
    _keep(transpose),
    lambda geometry, yw, g: (conv(g, yw[1], geometry), correlate(g, yw[0], geometry)),
)
correlate.defvjp(
    _keep(correlate),
    lambda geometry, xy, g: (transpose(xy[1], g, geometry), conv(xy[0], g, geometry)),
)
