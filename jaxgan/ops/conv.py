"""Strided convolution, its transpose and its kernel correlation, which are each other's derivatives.

The three maps are one trilinear form read in three ways, for images x, kernels w and outputs y:

    ⟨conv(x, w), y⟩  =  ⟨x, transpose(y, w)⟩  =  ⟨w, correlate(x, y)⟩

The derivative of each map in either argument is therefore one of the other two. Declaring the derivatives
this way keeps all orders of differentiation inside this file, so that a fast implementation of the form
makes all of them fast. On GPU and TPU we use XLA's own convolution. On CPU XLA has no fast kernels for
kernel gradients and transposes, so we use Winograd's minimal filtering or, for few channels, one matrix
product (:mod:`jaxgan.ops.winograd`). The benchmark ``python -m benchmarks.convolutions`` compares the
implementations.

Only reverse-mode derivatives are defined (``jax.grad``, nested to any depth), not ``jax.jvp``.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxgan.ops import winograd

Array = jax.Array


class Geometry(NamedTuple):
    """Sizes, stride, padding and groups that define the three maps.

    A geometry is hashable, so it can be a static argument.

    Attributes:
      size: Height and width (H, W) of x, in pixels.
      kernel: Height and width (kh, kw) of w, in pixels.
      stride: Distance between neighbouring windows in both directions, in pixels.
      padding: Zeros ((top, bottom), (left, right)) around x, in pixels.
      groups: Number of equal parts into which the channels of x and of y are split. Part i of y depends on
        part i of x only, so the kernel is (kh, kw, I / groups, O).
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int
    padding: tuple[tuple[int, int], tuple[int, int]]
    groups: int = 1

    @property
    def out(self) -> tuple[int, int]:
        """Height and width (H', W') of y, in pixels."""
        height, width = (
            (side + sum(padding) - window) // self.stride + 1
            for side, window, padding in zip(self.size, self.kernel, self.padding, strict=True)
        )
        return height, width


def same(size: Sequence[int], kernel: Sequence[int], stride: int) -> Geometry:
    """Returns the geometry with padding SAME, whose output has size ⌈size / stride⌉.

    If the total padding is odd, the smaller half comes first.
    """

    def pad(length: int, window: int) -> tuple[int, int]:
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        return total // 2, total - total // 2

    padding = (pad(size[0], kernel[0]), pad(size[1], kernel[1]))
    return Geometry((size[0], size[1]), (kernel[0], kernel[1]), stride, padding)


# With fewer channels (times stride², because phases become channels), the α² products of minimal filtering
# are too thin to be fast.
THIN = 64
# With more taps per phase, minimal filtering loses more than 1e-5 in float32.
MOST_TAPS = 5


def _tiling(geometry: Geometry, inputs: int) -> winograd.Tiling | None:
    """Returns the tiling of a convolution on a CPU, or None if XLA's own convolution is the best choice."""
    taps = max(-(-window // geometry.stride) for window in geometry.kernel)
    if taps == 1 or inputs * geometry.stride**2 < THIN or min(geometry.out) == 1:
        m = 1
    elif taps <= MOST_TAPS:
        m = 2
    else:
        return None
    (top, _), (left, _) = geometry.padding
    return winograd.Tiling(geometry.size, geometry.kernel, geometry.stride, (top, left), geometry.out, m)


def _mirrored(geometry: Geometry) -> Geometry:
    """Returns the geometry in which images and outputs have swapped roles, for stride 1."""
    padding = tuple(
        (window - 1 - low, window - 1 - high)
        for window, (low, high) in zip(geometry.kernel, geometry.padding, strict=True)
    )
    return Geometry(geometry.out, geometry.kernel, 1, (padding[0], padding[1]))


def _mirror(w: Array) -> Array:
    return w[::-1, ::-1].swapaxes(2, 3)


def _thin_outputs(geometry: Geometry, inputs: int, outputs: int) -> bool:
    return geometry.stride == 1 and outputs < min(inputs, THIN)


def _lax_conv(x: Array, w: Array, geometry: Geometry) -> Array:
    strides = (geometry.stride, geometry.stride)
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, w, strides, geometry.padding, dimension_numbers=numbers, feature_group_count=geometry.groups
    )


def _lax_transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    x = jax.ShapeDtypeStruct((y.shape[0], *geometry.size, w.shape[2] * geometry.groups), y.dtype)
    (out,) = jax.linear_transpose(lambda x: _lax_conv(x, w, geometry), x)(y)
    return out


def _lax_correlate(x: Array, y: Array, geometry: Geometry) -> Array:
    w = jax.ShapeDtypeStruct((*geometry.kernel, x.shape[3] // geometry.groups, y.shape[3]), y.dtype)
    (out,) = jax.linear_transpose(lambda w: _lax_conv(x, w, geometry), w)(y)
    return out


# Matrix products for a group of few channels are too thin to be fast. Neighbouring groups are therefore
# computed together, as a block of at most this many channels whose kernel is zero between groups. Wider
# blocks would multiply too many zeros.
BLOCK = 64


def _blocks(geometry: Geometry, inputs: int) -> tuple[int, int]:
    """Returns the number of blocks and of groups per block, for ``inputs`` channels per group."""
    fitting = [m for m in range(1, geometry.groups + 1) if geometry.groups % m == 0 and m * inputs <= BLOCK]
    members = max(fitting, default=1)
    return geometry.groups // members, members


def _split(x: Array, blocks: int) -> Array:
    return x.reshape(*x.shape[:3], blocks, -1)


def _join(x: Array) -> Array:
    return x.reshape(*x.shape[:3], -1)


def _diagonal(members: int, w: Array) -> Array:
    return jnp.eye(members, dtype=w.dtype)[:, None, None, :, None]


def _to_blocks(w: Array, blocks: int, members: int) -> Array:
    """Converts (kh, kw, I, O) kernels of groups to (kh, kw, members·I, blocks, O / blocks).

    The entries between different groups are zero.
    """
    kh, kw, inputs, _ = w.shape
    w = w.reshape(kh, kw, 1, inputs, blocks, members, -1) * _diagonal(members, w)
    return w.reshape(kh, kw, members * inputs, blocks, -1)


def _from_blocks(w: Array, members: int) -> Array:
    """Applies the transpose of :func:`_to_blocks`, which keeps the entries within groups."""
    kh, kw, inputs, blocks, _ = w.shape
    w = w.reshape(kh, kw, members, inputs // members, blocks, members, -1) * _diagonal(members, w)
    return jnp.sum(w, 2).reshape(kh, kw, inputs // members, -1)


def _grouped_conv(x: Array, w: Array, geometry: Geometry) -> Array:
    blocks, members = _blocks(geometry, w.shape[2])
    apply = functools.partial(_cpu_conv, geometry=geometry._replace(groups=1))
    return _join(jax.vmap(apply, 3, 3)(_split(x, blocks), _to_blocks(w, blocks, members)))


def _grouped_transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    blocks, members = _blocks(geometry, w.shape[2])
    apply = functools.partial(_cpu_transpose, geometry=geometry._replace(groups=1))
    return _join(jax.vmap(apply, 3, 3)(_split(y, blocks), _to_blocks(w, blocks, members)))


def _grouped_correlate(x: Array, y: Array, geometry: Geometry) -> Array:
    blocks, members = _blocks(geometry, x.shape[3] // geometry.groups)
    apply = functools.partial(_cpu_correlate, geometry=geometry._replace(groups=1))
    return _from_blocks(jax.vmap(apply, 3, 3)(_split(x, blocks), _split(y, blocks)), members)


def _cpu_conv(x: Array, w: Array, geometry: Geometry) -> Array:
    if geometry.groups > 1:
        return _grouped_conv(x, w, geometry)
    inputs, outputs = w.shape[2:]
    if _thin_outputs(geometry, inputs, outputs):
        return _cpu_transpose(x, _mirror(w), _mirrored(geometry))
    tiling = _tiling(geometry, inputs)
    return winograd.conv(x, w, tiling) if tiling else _lax_conv(x, w, geometry)


def _cpu_transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    if geometry.groups > 1:
        return _grouped_transpose(y, w, geometry)
    inputs, outputs = w.shape[2:]
    if _thin_outputs(geometry, inputs, outputs):
        return _cpu_conv(y, _mirror(w), _mirrored(geometry))
    tiling = _tiling(geometry, inputs)
    return winograd.transpose(y, w, tiling) if tiling else _lax_transpose(y, w, geometry)


def _cpu_correlate(x: Array, y: Array, geometry: Geometry) -> Array:
    if geometry.groups > 1:
        return _grouped_correlate(x, y, geometry)
    inputs, outputs = x.shape[3], y.shape[3]
    if _thin_outputs(geometry, inputs, outputs):
        return _mirror(_cpu_correlate(y, x, _mirrored(geometry)))
    tiling = _tiling(geometry, inputs)
    return winograd.correlate(x, y, tiling) if tiling else _lax_correlate(x, y, geometry)


def _on_platform(cpu: Callable[..., Array], default: Callable[..., Array]) -> Callable[..., Array]:
    """Returns a function that chooses the implementation when the program is compiled.

    The same traced program therefore serves every platform.
    """

    def dispatch(a: Array, b: Array, geometry: Geometry) -> Array:
        # In bfloat16 the sums of minimal filtering would lose too much precision.
        if a.dtype != jnp.float32:
            return default(a, b, geometry)
        return lax.platform_dependent(
            a, b, cpu=lambda a, b: cpu(a, b, geometry), default=lambda a, b: default(a, b, geometry)
        )

    return dispatch


_conv = _on_platform(_cpu_conv, _lax_conv)
_transpose = _on_platform(_cpu_transpose, _lax_transpose)
_correlate = _on_platform(_cpu_correlate, _lax_correlate)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv(x: Array, w: Array, geometry: Geometry) -> Array:
    """Computes a convolution (a cross-correlation, as is usual in deep learning).

    Args:
      x: Images, (B, H, W, I).
      w: Kernel, (kh, kw, I / groups, O).
      geometry: Geometry of the convolution, see :func:`same`.

    Returns:
      Outputs, (B, H', W', O).
    """
    return _conv(x, w, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def transpose(y: Array, w: Array, geometry: Geometry) -> Array:
    """Computes the transpose of :func:`conv` in x, a fractionally-strided convolution.

    Args:
      y: Array with the shape of the convolution's output, (B, H', W', O).
      w: Kernel with the shape of the convolution's kernel, (kh, kw, I / groups, O).
      geometry: Geometry of the convolution; ``geometry.size`` is the size of the transpose's output.

    Returns:
      Images, (B, H, W, I).
    """
    return _transpose(y, w, geometry)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def correlate(x: Array, y: Array, geometry: Geometry) -> Array:
    """Computes the transpose of :func:`conv` in w, which correlates images x with outputs y.

    Args:
      x: Images, (B, H, W, I).
      y: Array with the shape of the convolution's output, (B, H', W', O).
      geometry: Geometry of the convolution.

    Returns:
      Kernel, (kh, kw, I / groups, O).
    """
    return _correlate(x, y, geometry)


def _keep(function: Callable[..., Array]) -> Callable[..., Any]:
    # This is the forward rule of all three maps; the operands are the residuals.
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
