"""Progressively growing GANs: each stage fades in layers of twice the previous stage's resolution.

References:
  Karras et al., 2018, Progressive Growing of GANs, https://arxiv.org/abs/1710.10196
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import schedules
from jaxgan.gans import passes
from jaxgan.gans.adversarial import adversarial
from jaxgan.hyper import ScheduledUnit
from jaxgan.losses import LossPair
from jaxgan.ops.resample import mean_pool, upsample_nearest
from jaxgan.regularizers import Regularizer, real_sign
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any

DECAY = 0.99  # decay of the average of the real logits' signs


def growing(
    generator: nn.Module,
    critic: nn.Module,
    *,
    loss: LossPair | Callable[[Array], LossPair],
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: passes.Prior,
    fade: ScheduledUnit,
    regularizers: Mapping[str, Regularizer] | None = None,
) -> GAN:
    """Builds an :func:`adversarial` system that fades in the newest layers of its networks.

    The fade α is a function of the step, so that one compiled program serves a fade and the steady phase
    after it. With α = 0 the generator's image is the upsampled image of the previous layers, and the
    critic's features are those that its previous layers compute from the downsampled image. Real images are
    blended in the same way: (1 − α) up(down(x)) + α x.

    Args:
      generator: Module called as ``(z, alpha, train)``, where α is an array with one value per row, (B,).
      critic: Module called as ``(x, alpha, train)``.
      loss: Loss pair, or a function from the step to one, as for :func:`adversarial`.
      generator_tx: Optimiser of the generator.
      critic_tx: Optimiser of the critic.
      prior: Function from (B,) PRNG keys to (B, dim) latents.
      fade: Fade α, a number or a schedule of the step; 1 in a stage that fades nothing in.
      regularizers: Terms added to the players' losses, as for :func:`adversarial`.

    Returns:
      The system. The average sign of the real logits, which adaptive augmentation uses to measure the
      critic's overfitting, is stored as ``state.extra["real_sign"]`` and logged, as is α; see
      :func:`jaxgan.regularizers.real_sign`.
    """
    gan = adversarial(
        generator,
        critic,
        loss=loss,
        generator_tx=generator_tx,
        critic_tx=critic_tx,
        prior=prior,
        regularizers={**(regularizers or {}), "real_sign": real_sign(decay=DECAY)},
        conditions=("alpha",),
    )
    critic_loss = gan.critic_loss
    assert critic_loss is not None

    def alpha_at(step: Array, rows: Array) -> Array:
        return jnp.full(rows.shape, schedules.at(fade, step), jnp.float32)

    def faded(batch: Batch, state: GANState) -> dict[str, Any]:
        alpha = alpha_at(state.step, batch["row"])
        asked = {**batch.get("conditions", {}), "alpha": alpha}
        if "real" not in batch:
            return {**batch, "conditions": asked}
        real, share = batch["real"], alpha[:, None, None, None]
        real = (1.0 - share) * upsample_nearest(mean_pool(real)) + share * real
        return {**batch, "real": real, "alpha": alpha, "conditions": asked}

    def init(key: Array, batch: Batch) -> GANState:
        return gan.init(key, {**batch, "alpha": jnp.zeros(batch["row"].shape)})

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[PyTree, PyTree]:
        return gan.generate(params, state, faded(batch, state), key, advance=advance)

    def faded_critic_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        batch = faded(batch, state)
        value, aux = critic_loss(params, state, batch, fakes, key)
        return value, aux._replace(metrics={**aux.metrics, "alpha": jnp.mean(batch["alpha"])})

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        return gan.generator_loss(params, state, faded(batch, state), fakes, key)

    def sample(state: GANState, key: Array, conditions: Batch) -> Array:
        alpha = alpha_at(state.step, conditions["row"])
        return gan.sample(state, key, {**conditions, "alpha": alpha})

    return gan._replace(
        init=jax.jit(init),
        generate=generate,
        critic_loss=faded_critic_loss,
        generator_loss=generator_loss,
        sample=sample,
        reads=(),
    )
