"""Resampling of images by short filters, and padding by reflection.

Filters are separable, symmetric and normalised: [1, 2, 1] / 4 or [1, 3, 3, 1] / 8 in each direction. One
direction at a time, a filter is the sum of a few shifted images, which takes a CPU a twentieth of the time
of a depthwise convolution. Its transpose is another such sum, also where zeros are inserted before it or
pixels left out after it, and so are its derivatives of every order. They are reverse-mode; ``jax.jvp`` is
not defined.

"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def upsample_nearest(x: Array) -> Array:
    """Nearest-neighbour upsampling by 2: (B, H, W, C) to (B, 2H, 2W, C)."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def mean_pool(x: Array) -> Array:
    """The mean over 2 × 2 pixels: (B, 2H, 2W, C) to (B, H, W, C)."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


BINOMIAL = (1, 2, 1)  # StyleGAN's blur
SMOOTH = (1, 3, 3, 1)  # StyleGAN2's and R3GAN's filter, for blurring and resampling


class _Filter(NamedTuple):
    """A filter in one direction: insert zeros, pad, correlate with the taps, and leave pixels out.

    Attributes:
      size: pixels that come in.
      taps: the filter's values.
      up: one pixel and up − 1 zeros for each that comes in (but no zeros after the last).
      down: one pixel of so many goes out.
      padding: zeros before and after; negative numbers cut off.
    """

    size: int
    taps: tuple[float, ...]
    up: int
    down: int
    padding: tuple[int, int]

    @property
    def out(self) -> int:
        """Pixels that go out."""
        return ((self.size - 1) * self.up + 1 + sum(self.padding) - len(self.taps)) // self.down + 1

    @property
    def transposed(self) -> "_Filter":
        """The filter that is this one's transpose, as a linear map."""
        reach = len(self.taps) - 1
        before = reach - self.padding[0]
        after = (self.size - 1) * self.up + reach - (self.out - 1) * self.down - before
        return _Filter(self.out, self.taps[::-1], self.down, self.up, (before, after))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _apply(x: Array, along: _Filter, axis: int) -> Array:
    """Filters x, its length ``along.size`` on this axis, in one direction."""
    padding = [(0, 0, 0)] * x.ndim
    padding[axis] = (*along.padding, along.up - 1)
    x = lax.pad(x, jnp.zeros((), x.dtype), padding)
    length = along.down * (along.out - 1) + 1
    shifted = [
        tap * lax.slice_in_dim(x, start, start + length, along.down, axis)
        for start, tap in enumerate(along.taps)
    ]
    return functools.reduce(jnp.add, shifted)


def _forward(x: Array, along: _Filter, axis: int) -> tuple[Array, None]:
    return _apply(x, along, axis), None


def _backward(along: _Filter, axis: int, _: None, g: Array) -> tuple[Array]:
    return (_apply(g, along.transposed, axis),)


_apply.defvjp(_forward, _backward)


def _both_ways(
    x: Array, kernel: Sequence[float], up: int, down: int, padding: tuple[int, int], gain: float
) -> Array:
    total = sum(kernel)
    taps = tuple(float(tap) / total * gain**0.5 for tap in kernel)
    y = x.astype(jnp.float32)
    for axis in (1, 2):
        y = _apply(y, _Filter(x.shape[axis], taps, up, down, padding), axis)
    return y.astype(x.dtype)


def blur(
    x: Array, kernel: Sequence[float] = SMOOTH, *, padding: tuple[int, int] | None = None, gain: float = 1.0
) -> Array:
    """Filters images.

    y[i, j] = gain · Σ_kl k[k] k[l] x[i + k − before, j + l − before], zero outside x

    Args:
      x: (B, H, W, C) images.
      kernel: the K taps of a symmetric filter, of any sum: they are normalised.
      padding: zeros (before, after) x in both directions. By default K // 2 and (K − 1) // 2, which keep
        the size. StyleGAN2 has (1, 1) after a transposed convolution of 3 × 3 and stride 2 without padding,
        and (2, 2) before a convolution of 3 × 3 and stride 2 without padding.
      gain: factor on the filter: 4 after a transposed convolution of stride 2, to keep constants.

    Returns:
      (B, H', W', C) with H' = H + before + after − K + 1, in the type of x, computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
      Zhang, 2019, Making Convolutional Networks Shift-Invariant Again, https://arxiv.org/abs/1904.11486
    """
    padding = (len(kernel) // 2, (len(kernel) - 1) // 2) if padding is None else padding
    return _both_ways(x, kernel, 1, 1, padding, gain)


def upsample(x: Array, kernel: Sequence[float] = SMOOTH) -> Array:
    """Doubles images: a zero after every pixel, then a filter of sum 4.

    In one direction, for z = x with a zero after every pixel, y[n] = 2 Σ_t k[t] z[n + t − (K + 1) // 2].
    This is the phase of StyleGAN2's ``upfirdn2d``. For [1, 3, 3, 1]

        y[2i] = ¼ x[i − 1] + ¾ x[i],  y[2i + 1] = ¾ x[i] + ¼ x[i + 1]

    For even K it is 4 times the transpose of :func:`downsample`. For odd K the two do not match: [1, 2, 1]
    puts x[i] at 2i + 1 here, and ``downsample`` centres its filter at 2i. Outside x is zero.

    Args:
      x: (B, H, W, C) images.
      kernel: the K taps of a symmetric filter, of any sum: they are normalised.

    Returns:
      (B, 2H, 2W, C) in the type of x, computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
    """
    before, after = (len(kernel) + 1) // 2, len(kernel) // 2
    return _both_ways(x, kernel, 2, 1, (before, after), 4.0)


def downsample(x: Array, kernel: Sequence[float] = SMOOTH) -> Array:
    """Halves images: a filter, then every other pixel.

    In one direction y[i] = Σ_t k[t] x[2i + t − (K − 1) // 2], the phase of StyleGAN2's ``upfirdn2d``. For
    [1, 3, 3, 1] it is y[i] = (x[2i − 1] + 3 x[2i] + 3 x[2i + 1] + x[2i + 2]) / 8. Outside x is zero.

    Args:
      x: (B, H, W, C) images.
      kernel: the K taps of a symmetric filter, of any sum: they are normalised.

    Returns:
      (B, ⌊H/2⌋, ⌊W/2⌋, C) in the type of x, computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
    """
    return _both_ways(x, kernel, 1, 2, ((len(kernel) - 1) // 2, (len(kernel) - 2) // 2), 1.0)


def reflect_pad(x: Array, n: int) -> Array:
    """Pads images by n pixels a side, mirrored at the outermost pixel, which is not repeated.

    Args:
      x: (B, H, W, C) images, H and W greater than n.
      n: pixels a side.

    Returns:
      (B, H + 2n, W + 2n, C).
    """
    return jnp.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect")
