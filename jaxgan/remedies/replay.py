"""Experience replay: the critic is shown fakes of the past among those of the present."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgan import latents
from jaxgan.gans import passes
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any

NAME = "replay"


def experience_replay(gan: GAN, *, size: int, share: float, axis_name: str | None = None) -> GAN:
    """In the critic's updates each fake is, with a probability, one from a memory of the last fakes.

    The memory is a ring: every update of the critic puts its fresh fakes, the global batch of them, in
    place of the oldest. Draws are uniform over what it holds, with replacement; before the first there is
    nothing to draw, and all fakes are fresh.

    Args:
      gan: the system; its generator's samples are single arrays shaped as ``batch["real"]``.
      size: of the ring, in samples; of a batch that is larger, its last ``size`` are kept (static).
      share: probability that a fake is from the ring (Shrivastava et al.: half of the batch).
      axis_name: the ``pmap`` axis that the batch is split over, if any.

    Returns:
      The system with the critic's loss so changed. The ring is ``state.extra["replay"]``, float32, and in
      every checkpoint.

    References:
      Shrivastava et al., 2017, Learning from Simulated and Unsupervised Images through Adversarial
      Training, section 2.3, https://arxiv.org/abs/1612.07828
    """

    def init(key: Array, batch: Batch) -> GANState:
        state = gan.init(key, batch)
        ring = {
            "samples": jnp.zeros((size, *batch["real"].shape[2:])),
            "next": jnp.int32(0),
            "filled": jnp.int32(0),
        }
        return state.replace(extra={**state.extra, NAME: ring})

    def critic_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        ring = state.extra[NAME]
        fresh, _ = gan.generate(state.generator.params, state, batch, key, advance=False)

        def draw(key: Array) -> tuple[Array, Array]:
            whether, which = jax.random.split(key)
            index = jax.random.randint(which, (), 0, jnp.maximum(ring["filled"], 1))
            return (jax.random.uniform(whether) < share) & (ring["filled"] > 0), index

        keys = latents.row_keys(jax.random.fold_in(key, passes.REPLAY), batch["row"])
        replayed, index = jax.vmap(draw)(keys)
        replayed = replayed.reshape(-1, *[1] * (fresh.ndim - 1))
        fake = jnp.where(replayed, ring["samples"][index], fresh)
        # To the inner loss the generator is one that makes these.
        player = state.generator.replace(apply_fn=lambda *_, **__: (fake, {}))
        value, aux = gan.critic_loss(params, state.replace(generator=player), batch, key)

        if axis_name is not None:  # rings have to be the same everywhere
            fresh = jax.lax.all_gather(fresh, axis_name, tiled=True)
        kept = fresh[-size:]
        slots = (ring["next"] + jnp.arange(len(kept))) % size
        ring = {
            "samples": ring["samples"].at[slots].set(jax.lax.stop_gradient(kept)),
            "next": (ring["next"] + len(kept)) % size,
            "filled": jnp.minimum(ring["filled"] + len(kept), size),
        }
        return value, aux._replace(extra={**aux.extra, NAME: ring})

    return gan._replace(init=jax.jit(init), critic_loss=critic_loss)
