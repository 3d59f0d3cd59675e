"""Image resampling with short filters, and padding by reflection.

The filters are separable, symmetric and normalised: [1, 2, 1] / 4 or [1, 3, 3, 1] / 8 in each direction.
Each direction is filtered as a sum of a few shifted images, which is faster on a CPU than a depthwise
convolution. The transpose of such a filter is another sum of shifted images, even where zeros are inserted
before the filter or pixels are dropped after it, and so are the derivatives of every order. Only
reverse-mode derivatives are defined, not ``jax.jvp``.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


def upsample_nearest(x: Array) -> Array:
    """Upsamples images by 2 by repeating pixels: (B, H, W, C) to (B, 2H, 2W, C)."""
    b, h, w, c = x.shape
    return jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c)).reshape(b, 2 * h, 2 * w, c)


def mean_pool(x: Array) -> Array:
    """Averages 2 × 2 pixels: (B, 2H, 2W, C) to (B, H, W, C)."""
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


BINOMIAL = (1, 2, 1)  # StyleGAN's blur
SMOOTH = (1, 3, 3, 1)  # StyleGAN2's and R3GAN's filter, for blurring and resampling


class _Filter(NamedTuple):
    """Filter along one axis that inserts zeros, pads, correlates with the taps and drops pixels.

    Attributes:
      size: Number of input pixels.
      taps: Values of the filter.
      up: Upsampling factor; up − 1 zeros follow every input pixel except the last.
      down: Downsampling factor; one of every ``down`` pixels is kept.
      padding: Zeros before and after the pixels; negative numbers crop.
    """

    size: int
    taps: tuple[float, ...]
    up: int
    down: int
    padding: tuple[int, int]

    @property
    def out(self) -> int:
        """Number of output pixels."""
        return ((self.size - 1) * self.up + 1 + sum(self.padding) - len(self.taps)) // self.down + 1

    @property
    def transposed(self) -> "_Filter":
        """Filter that is the transpose of this filter as a linear map."""
        reach = len(self.taps) - 1
        before = reach - self.padding[0]
        after = (self.size - 1) * self.up + reach - (self.out - 1) * self.down - before
        return _Filter(self.out, self.taps[::-1], self.down, self.up, (before, after))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _apply(x: Array, along: _Filter, axis: int) -> Array:
    """Filters x along one axis, on which x has length ``along.size``."""
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
      x: Images, (B, H, W, C).
      kernel: Taps of a symmetric filter of length K; the taps are normalised, so they may have any sum.
      padding: Zeros (before, after) x in both directions. The default, K // 2 and (K − 1) // 2, keeps the
        size. StyleGAN2 uses (1, 1) after a transposed 3 × 3 convolution of stride 2 without padding, and
        (2, 2) before a 3 × 3 convolution of stride 2 without padding.
      gain: Factor on the filter; 4 after a transposed convolution of stride 2 preserves constants.

    Returns:
      Images (B, H', W', C) with H' = H + before + after − K + 1, in the type of x and computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
      Zhang, 2019, Making Convolutional Networks Shift-Invariant Again, https://arxiv.org/abs/1904.11486
    """
    padding = (len(kernel) // 2, (len(kernel) - 1) // 2) if padding is None else padding
    return _both_ways(x, kernel, 1, 1, padding, gain)


def upsample(x: Array, kernel: Sequence[float] = SMOOTH) -> Array:
    """Doubles the size of images by inserting zeros and filtering.

    The filter has sum 4. In one direction, y[n] = 2 Σ_t k[t] z[n + t − (K + 1) // 2], where z is x with a
    zero after every pixel. This is the phase of StyleGAN2's ``upfirdn2d``. For [1, 3, 3, 1]

        y[2i] = ¼ x[i − 1] + ¾ x[i],  y[2i + 1] = ¾ x[i] + ¼ x[i + 1]

    For even K the map is 4 times the transpose of :func:`downsample`. For odd K the two maps do not match:
    [1, 2, 1] puts x[i] at 2i + 1 here, while ``downsample`` centres its filter at 2i. Outside its bounds x
    is zero.

    Args:
      x: Images, (B, H, W, C).
      kernel: Taps of a symmetric filter of length K; the taps are normalised, so they may have any sum.

    Returns:
      Images (B, 2H, 2W, C) in the type of x, computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
    """
    before, after = (len(kernel) + 1) // 2, len(kernel) // 2
    return _both_ways(x, kernel, 2, 1, (before, after), 4.0)


def downsample(x: Array, kernel: Sequence[float] = SMOOTH) -> Array:
    """Halves the size of images by filtering and dropping every other pixel.

    In one direction y[i] = Σ_t k[t] x[2i + t − (K − 1) // 2], which is the phase of StyleGAN2's
    ``upfirdn2d``. For [1, 3, 3, 1] this is y[i] = (x[2i − 1] + 3 x[2i] + 3 x[2i + 1] + x[2i + 2]) / 8.
    Outside its bounds x is zero.

    Args:
      x: Images, (B, H, W, C).
      kernel: Taps of a symmetric filter of length K; the taps are normalised, so they may have any sum.

    Returns:
      Images (B, ⌊H/2⌋, ⌊W/2⌋, C) in the type of x, computed in float32.

    References:
      Karras et al., 2020, Analyzing and Improving the Image Quality of StyleGAN, appendix B,
      https://arxiv.org/abs/1912.04958
    """
    return _both_ways(x, kernel, 1, 2, ((len(kernel) - 1) // 2, (len(kernel) - 2) // 2), 1.0)


def reflect_pad(x: Array, n: int) -> Array:
    """Pads images by n pixels on every side, mirrored at the outermost pixel, which is not repeated.

    Args:
      x: Images (B, H, W, C), with H and W greater than n.
      n: Number of pixels on every side.

    Returns:
      Padded images, (B, H + 2n, W + 2n, C).
    """
    return jnp.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect")
