"""Historical averaging of the players' parameters."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError
from jaxgan.hyper import NotNegative
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch, Loss

Array = jax.Array
PyTree = Any

NAME = "historical_averaging"


def historical_averaging(gan: GAN, *, weight: NotNegative) -> GAN:
    """Penalises each player's distance from the mean of its past parameters, so that orbits spiral in.

    Each loss gains a term weight · ‖θ_t − 1/t Σ_{i ≤ t} θ_i‖², where θ_i are the player's parameters before
    its i-th update and the mean is treated as a constant. The terms are logged as ``critic_history`` and
    ``generator_history``.

    Args:
      gan: System to change.
      weight: Weight of the term, 0 or more.

    Returns:
      The system with both losses changed. The means are in ``state.extra["historical_averaging"]``.

    Raises:
      SetupError: The system has no critic.

    References:
      Salimans et al., 2016, Improved Techniques for Training GANs, section 3.3,
      https://arxiv.org/abs/1606.03498
    """

    def init(key: Array, batch: Batch) -> GANState:
        state = gan.init(key, batch)
        past = {
            player: {"mean": jax.tree.map(jnp.zeros_like, params), "count": jnp.int32(0)}
            for player, params in (("critic", state.critic.params), ("generator", state.generator.params))
        }
        return state.replace(extra={**state.extra, NAME: past})

    if gan.critic_loss is None:
        raise SetupError("historical averaging needs a game of two players: this system has no critic")

    def averaged(loss: Loss, player: str) -> Loss:
        def with_history(
            params: PyTree, state: GANState, batch: Batch, fakes: PyTree, key: Array
        ) -> tuple[Array, Aux]:
            value, aux = loss(params, state, batch, fakes, key)
            past = aux.extra[NAME]
            count = past[player]["count"] + 1
            mean = jax.tree.map(
                lambda mean, now: mean + (jax.lax.stop_gradient(now) - mean) / count,
                past[player]["mean"],
                params,
            )
            squares = jax.tree.map(lambda mean, now: jnp.sum(jnp.square(now - mean)), mean, params)
            distance = weight * jax.tree.reduce(jnp.add, squares)
            extra = {**aux.extra, NAME: {**past, player: {"mean": mean, "count": count}}}
            metrics = {**aux.metrics, f"{player}_history": distance}
            return value + distance, aux._replace(metrics=metrics, extra=extra)

        return with_history

    return gan._replace(
        init=jax.jit(init),
        critic_loss=averaged(gan.critic_loss, "critic"),
        generator_loss=averaged(gan.generator_loss, "generator"),
    )
