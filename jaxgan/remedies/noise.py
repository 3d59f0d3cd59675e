"""Instance noise."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan import latents
from jaxgan.gans import passes
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Loss

Array = jax.Array
PyTree = Any


def instance_noise(gan: GAN, *, std: float, steps: int) -> GAN:
    """Both players see real and generated samples through Gaussian noise that dies away.

    x + σ_t ε and G(z) + σ_t ε',  σ_t = std · max(0, 1 − t / steps),  ε, ε' ~ N(0, I), one a sample.

    With it both distributions have densities everywhere, and the critic cannot part them for nothing.

    Args:
      gan: the system; its generator's samples are single arrays.
      std: σ at the start, in units of x.
      steps: until σ is 0.

    Returns:
      The system with both losses so changed; ``sample`` and ``generate`` are as clean as before. Logged as
      ``instance_noise``: σ_t.

    References:
      Sønderby et al., 2017, Amortised MAP Inference for Image Super-resolution, section 3.2.1,
      https://arxiv.org/abs/1610.04490
      Arjovsky and Bottou, 2017, Towards Principled Methods for Training GANs, https://arxiv.org/abs/1701.04862
    """

    def noisy(loss: Loss) -> Loss:
        def through_noise(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
            sigma = std * jnp.maximum(0.0, 1.0 - state.step / steps)
            keys = latents.row_keys(jax.random.fold_in(key, passes.NOISE), batch["row"])

            def add(x: Array, side: int) -> Array:
                def noise(key: Array) -> Array:
                    return jax.random.normal(jax.random.fold_in(key, side), x.shape[1:], x.dtype)

                return x + sigma * jax.vmap(noise)(keys)

            clean = state.generator.apply_fn

            def apply_fn(*args: Any, **kwargs: Any) -> tuple[Array, PyTree]:
                samples, updated = clean(*args, **kwargs)
                return add(samples, 1), updated

            value, aux = loss(
                params,
                state.replace(generator=state.generator.replace(apply_fn=apply_fn)),
                {**batch, "real": add(batch["real"], 0)},
                key,
            )
            return value, aux._replace(metrics={**aux.metrics, "instance_noise": sigma})

        return through_noise

    return gan._replace(critic_loss=noisy(gan.critic_loss), generator_loss=noisy(gan.generator_loss))
