"""Instance noise: Gaussian noise that decays during training."""

import jax
import jax.numpy as jnp

from jaxgan.hyper import Count, NotNegative
from jaxgan.state import GANState
from jaxgan.views.augmentation import Augmentation

Array = jax.Array


def instance_noise(*, std: NotNegative, steps: Count) -> Augmentation:
    """Adds decaying Gaussian noise to the real and generated samples that the critic sees.

    x + σ_t ε and G(z) + σ_t ε',  σ_t = std · max(0, 1 − t / steps),  ε, ε' ~ N(0, I), one per sample.

    With the noise, both distributions have densities everywhere, and no critic can separate them perfectly.

    Args:
      std: Initial σ, in units of x.
      steps: Number of steps until σ is 0.

    Returns:
      The augmentation. σ_t is logged as ``instance_noise``.

    References:
      Sønderby et al., 2017, Amortised MAP Inference for Image Super-resolution, section 3.2.1,
      https://arxiv.org/abs/1610.04490
      Arjovsky and Bottou, 2017, Towards Principled Methods for Training GANs,
      https://arxiv.org/abs/1701.04862
    """

    def sigma(state: GANState) -> Array:
        return std * jnp.maximum(0.0, 1.0 - state.step / steps)

    def apply(x: Array, keys: Array, state: GANState) -> Array:
        noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)
        return x + sigma(state) * noise

    return Augmentation(apply, lambda state: {"instance_noise": sigma(state)})
