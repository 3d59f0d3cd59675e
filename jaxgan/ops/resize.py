"""How images become those of another size: the resizes that other tools' scores were made with."""

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two pixels that each new one lies between, and how far from the first, as TensorFlow rounds."""
    places = np.arange(size, dtype=np.float32) * np.float32(length / size)
    low = places.astype(np.int32)
    return low, np.minimum(low + 1, length - 1), places - low.astype(np.float32)


def tensorflow1(images: Array, size: tuple[int, int]) -> Array:
    """Bilinear, as TensorFlow 1's ``resize_bilinear(align_corners=False)``.

    New pixel i takes its value at i · length / size: the grids' first pixels, not their edges, lie upon
    each other, and an image that shrinks is sampled without antialiasing. No good resize does so, but FID
    is defined with this one.

    Args:
      images: (B, H, W, C), of any type.
      size: (H', W') in pixels.

    Returns:
      (B, H', W', C) float32, in the units of the images.

    References:
      Parmar et al., 2022, On Aliased Resizing and Surprising Subtleties in GAN Evaluation,
      https://arxiv.org/abs/2104.11222
    """
    for axis in (2, 1):  # TensorFlow's order
        low, high, fraction = _neighbours(images.shape[axis], size[axis - 1])
        first, second = (
            jnp.take(images, index, axis, mode="clip").astype(jnp.float32) for index in (low, high)
        )
        fraction = np.expand_dims(fraction, (0, *(other for other in (1, 2, 3) if other != axis)))
        images = first + (second - first) * fraction
    return images
