"""Image resizing that reproduces the methods behind published scores."""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two pixels around each new pixel and its distance from the first of them.

    Positions are rounded in the same way as in TensorFlow.
    """
    places = np.arange(size, dtype=np.float32) * np.float32(length / size)
    low = places.astype(np.int32)
    return low, np.minimum(low + 1, length - 1), places - low.astype(np.float32)


def tensorflow1(images: Array, size: tuple[int, int]) -> Array:
    """Resizes images bilinearly, reproducing TensorFlow 1's ``resize_bilinear(align_corners=False)``.

    New pixel i takes its value at position i · length / size. The grids are thus aligned at their first
    pixels instead of their edges, and images are shrunk without antialiasing. This is not a good way to
    resize images, but FID is defined with it.

    Args:
      images: Images (B, H, W, C), of any type.
      size: New height and width (H', W'), in pixels.

    Returns:
      Images (B, H', W', C) in float32, in the units of the input.

    References:
      Parmar et al., 2022, On Aliased Resizing and Surprising Subtleties in GAN Evaluation,
      https://arxiv.org/abs/2104.11222
    """
    for axis in (2, 1):  # the order in which TensorFlow resizes
        low, high, fraction = _neighbours(images.shape[axis], size[axis - 1])
        first, second = (
            jnp.take(images, index, axis, mode="clip").astype(jnp.float32) for index in (low, high)
        )
        fraction = np.expand_dims(fraction, (0, *(other for other in (1, 2, 3) if other != axis)))
        images = first + (second - first) * fraction
    return images
