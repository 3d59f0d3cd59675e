"""Feature matching."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.errors import SetupError
from jaxgan.state import GANState, TrainState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any


def _features(critic: TrainState, x: Array) -> Array:
    variables = {"params": critic.params, **critic.model_state}
    _, sown = critic.apply_fn(variables, x, True, mutable=["intermediates"])
    if "features" not in sown.get("intermediates", {}):
        raise SetupError(
            "feature matching needs a critic that sows its 'features' into 'intermediates', as those of"
            " jaxgan.models do"
        )
    return sown["intermediates"]["features"][0]


def feature_matching(gan: GAN, *, axis_name: str | None = None) -> GAN:
    """The generator is to match the mean of the critic's features, in place of its own loss.

    ‖E[f(x)] − E[f(G(z))]‖²,  f(x) what enters the critic's logit.

    Args:
      gan: a system whose critic sows ``features`` into ``intermediates``.
      axis_name: the ``pmap`` axis that the batch is split over, if any; the means are over all of it.

    Returns:
      The system with the generator's loss so changed.

    Raises:
      SetupError: by ``init``, if the critic sows none.

    References:
      Salimans et al., 2016, Improved Techniques for Training GANs, section 3.1,
      https://arxiv.org/abs/1606.03498
    """

    def init(key: Array, batch: Batch) -> GANState:
        state = gan.init(key, batch)
        jax.eval_shape(_features, state.critic, batch["real"][0])
        return state

    def generator_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        fake, model_state = gan.generate(params, state, batch, key, advance=True)
        difference = jnp.mean(_features(state.critic, batch["real"]), 0, dtype=jnp.float32)
        difference -= jnp.mean(_features(state.critic, fake), 0, dtype=jnp.float32)
        if axis_name is not None:
            difference = jax.lax.pmean(difference, axis_name)
        return jnp.sum(jnp.square(difference)), Aux({}, model_state, state.extra)

    return gan._replace(init=jax.jit(init), generator_loss=generator_loss)
