"""Unrolled GANs: the generator's loss looks several critic updates ahead."""

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
    """Evaluates the generator's loss against the critic after K further updates, and differentiates them.

    θ_G ← θ_G − η ∇ L_G(θ_G, θ_D⁽ᴷ⁾(θ_G)),  θ_D⁽ᵏ⁺¹⁾ = θ_D⁽ᵏ⁾ after an update by its own optimiser,

    where the gradient is taken through all K updates, which use the same batch and latents. The updates are
    then discarded, and the critic itself is trained as before. The gradient tells a generator that puts all
    its samples in one place how the critic would react.

    Args:
      gan: System to change. The critic's optimiser is differentiated, so Adam needs ``eps_root`` > 0;
        otherwise its square root has no derivative where a gradient has always been 0.
      steps: Number K of critic updates (static).

    Returns:
      The system with a changed generator loss.

    Raises:
      SetupError: The system has no critic.

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
