"""Slant and width of the shape in an image, from its second moments."""

import jax
import jax.numpy as jnp

Array = jax.Array

# Keeps the quotients of images without ink finite. One full pixel has an ink of 1.
EPSILON = 1e-6


def slant_and_width(images: Array) -> tuple[Array, Array]:
    """Computes the slant μ₁₁ / μ₀₂ and the width √μ₂₀ of the light pixels of images.

    μ_pq = Σ w (x − x̄)^p (y − ȳ)^q / Σ w, where w is the ink of a pixel, 0 for black and 1 for white, x
    points to the right and y upwards. A shear x → x + s y of a shape with μ₁₁ = 0 has the slant s, and its
    μ₂₀ grows by s² μ₀₂.

    Args:
      images: (B, H, W, C) images in [−1, 1]; the ink is the mean of their channels.

    Returns:
      (B,) slants, positive if the shape leans to the right, and (B,) widths in pixels. Images without ink
      have a slant and a width of 0.

    References:
      Hu, 1962, Visual Pattern Recognition by Moment Invariants, https://doi.org/10.1109/TIT.1962.1057692
    """
    ink = (jnp.mean(images, -1) + 1.0) / 2.0
    weights = ink / (jnp.sum(ink, (1, 2), keepdims=True) + EPSILON)
    height, width = ink.shape[1:]
    x = jnp.broadcast_to(jnp.arange(width, dtype=jnp.float32), (height, width))
    y = jnp.broadcast_to(-jnp.arange(height, dtype=jnp.float32)[:, None], (height, width))

    def mean(values: Array) -> Array:
        return jnp.sum(weights * values, (1, 2), keepdims=True)

    dx, dy = x - mean(x), y - mean(y)
    mu_20, mu_11, mu_02 = (mean(value)[:, 0, 0] for value in (dx * dx, dx * dy, dy * dy))
    return mu_11 / (mu_02 + EPSILON), jnp.sqrt(mu_20)
