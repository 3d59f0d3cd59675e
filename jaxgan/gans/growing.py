"""A GAN whose images grow: a stage fades in layers of twice the resolution over those of the stage before.

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

DECAY = 0.99  # of the average of the real logits' signs


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
    """Tells both networks of :func:`adversarial` how far their newest layers are faded in.

    α is a function of the step, so that a fade and the steady part after it are one program. With α = 0 the
    generator's image is the upsampled one of the layers before, and the critic's features are theirs of the
    downsampled image. Real images are blended likewise: (1 − α) up(down(x)) + α x.

    Args:
      generator: module called as ``(z, alpha, train)``, with α for each of (B,) rows.
      critic: module called as ``(x, alpha, train)``.
      loss: as of :func:`adversarial`, and so are the others.
      generator_tx: the generator's optimiser.
      critic_tx: the critic's optimiser.
      prior: (B,) PRNG keys to (B, dim) latents.
      fade: α, a number or a schedule of the step; 1 in a stage that fades nothing in.
      regularizers: terms added to the critic's loss.

    Returns:
      The system. An average of the real logits' signs, by which adaptive augmentation tells how far a
      critic has overfitted, is ``state.extra["real_sign"]`` and logged, as is α; see
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
