"""Unrolled critic steps."""

from typing import Any

import jax

from jaxgan import parallel
from jaxgan.errors import SetupError
from jaxgan.hyper import Count
from jaxgan.state import GANState, TrainState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any


def unrolled(gan: GAN, *, steps: Count) -> GAN:
    """The generator plays against the critic as it will be a few updates later, and knows why.

    θ_G ← θ_G − η ∇ L_G(θ_G, θ_D⁽ᴷ⁾(θ_G)),  θ_D⁽ᵏ⁺¹⁾ = θ_D⁽ᵏ⁾ after an update by its own optimiser,

    the gradient taken through all K updates, on the same batch and latents. They are thrown away after: the
    critic itself is trained as before. A generator that puts all its samples in one place learns that
    the critic would find it out.

    Args:
      gan: the system. Its critic's optimiser is differentiated: an Adam needs ``eps_root`` > 0, or its √
        has no derivative where a gradient has always been 0.
      steps: K (static).

    Returns:
      The system with the generator's loss so changed.

    References:
      Metz et al., 2017, Unrolled Generative Adversarial Networks, https://arxiv.org/abs/1611.02163
    """

    critic_loss, critic_tx = gan.critic_loss, gan.critic_tx
    if critic_loss is None or critic_tx is None:
        raise SetupError("unrolling needs a critic: this system has none")

    def generator_loss(
        params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
    ) -> tuple[Array, Aux]:
        now = state.replace(generator=state.generator.replace(params=params))

        def update(critic: TrainState, _: None) -> tuple[TrainState, None]:
            grads, aux = jax.grad(critic_loss, has_aux=True)(
                critic.params, now.replace(critic=critic), batch, fakes, key
            )
            grads, model_state = parallel.global_mean((grads, aux.model_state))
            return critic.apply_gradients(grads, model_state, critic_tx, state.step), None

        critic, _ = jax.lax.scan(update, state.critic, length=steps)
        return gan.generator_loss(params, now.replace(critic=critic), batch, fakes, key)

    mixes = "unrolled updates are of the whole batch"
    return gan._replace(generator_loss=generator_loss, mixes=mixes)
