"""Unrolled critic steps."""

from typing import Any

import jax

from jaxgan.state import GANState, TrainState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any


def unrolled(gan: GAN, *, steps: int, axis_name: str | None = None) -> GAN:
    """The generator plays against the critic as it will be a few updates later, and knows why.

    θ_G ← θ_G − η ∇ L_G(θ_G, θ_D⁽ᴷ⁾(θ_G)),  θ_D⁽ᵏ⁺¹⁾ = θ_D⁽ᵏ⁾ after an update by its own optimiser,

    the gradient taken through all K updates, on the same batch and latents. They are thrown away after: the
    critic itself is trained as before. A generator that puts all its samples in one place learns that
    the critic would find it out.

    Args:
      gan: the system. Its critic's optimiser is differentiated: an Adam needs ``eps_root`` > 0, or its √
        has no derivative where a gradient has always been 0.
      steps: K, not negative (static); with 0 the system is as before.
      axis_name: the ``pmap`` axis that the batch is split over, if any.

    Returns:
      The system with the generator's loss so changed.

    References:
      Metz et al., 2017, Unrolled Generative Adversarial Networks, https://arxiv.org/abs/1611.02163
    """

    def generator_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        now = state.replace(generator=state.generator.replace(params=params))

        def update(critic: TrainState, _: None) -> tuple[TrainState, None]:
            grads, aux = jax.grad(gan.critic_loss, has_aux=True)(
                critic.params, now.replace(critic=critic), batch, key
            )
            model_state = aux.model_state
            if axis_name is not None:
                grads, model_state = jax.lax.pmean((grads, model_state), axis_name)
            return critic.apply_gradients(grads, model_state), None

        critic, _ = jax.lax.scan(update, state.critic, length=steps)
        return gan.generator_loss(params, now.replace(critic=critic), batch, key)

    return gan._replace(generator_loss=generator_loss)
