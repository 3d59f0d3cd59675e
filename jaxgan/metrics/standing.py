"""Standing statistics: moments of a batch-norm generator, estimated again from its final weights."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgan.layers import BatchNorm
from jaxgan.state import GANState
from jaxgan.steps import GAN

Array = jax.Array
PyTree = Any

COLLECTION = "batch_stats"


def standing_statistics(
    gan: GAN,
    state: GANState,
    key: Array,
    *,
    batches: int,
    batch_size: int,
    conditions: Callable[[Array, Array], dict[str, Array]],
) -> GANState:
    """Replaces the batch statistics of the averaged generator by their means over fresh batches.

    m = (1/K) Σ_k m_k

    Here m_k is the mean of batch k, and likewise for the variance. All batches use the same weights,
    whereas the moving average of training has followed changing weights.

    Args:
      gan: System whose ``generate`` reads no real samples.
      state: State of the system, whose averaged parameters are used.
      key: PRNG key of the latents.
      batches: Number of batches, K.
      batch_size: Number of samples per batch.
      conditions: Function ``conditions(key, rows)`` that returns the conditions for the generator, see
        ``data.Source``.

    Returns:
      The new state, or the given state if the generator has no batch statistics.

    References:
      Brock et al., 2019, appendix C.1, https://arxiv.org/abs/1809.11096
    """
    player = state.generator
    if COLLECTION not in player.ema_model_state:
        return state
    zeros = jax.tree.map(jnp.zeros_like, player.ema_model_state[COLLECTION])
    # Starting from zero, a pass leaves (1 − momentum) times the batch's own moments.
    blank = player.replace(model_state={**player.ema_model_state, COLLECTION: zeros})
    blank_state = state.replace(generator=blank)
    rows = jnp.arange(batch_size)

    def add(total: PyTree, number: Array) -> tuple[PyTree, None]:
        this_key = jax.random.fold_in(key, number)
        batch = {"row": rows, "conditions": conditions(this_key, rows)}
        _, after = gan.generate(player.ema_params, blank_state, batch, this_key, advance=False)
        return jax.tree.map(jnp.add, total, after[COLLECTION]), None

    total, _ = jax.lax.scan(add, zeros, jnp.arange(batches))
    mean = jax.tree.map(lambda x: x / (batches * (1 - BatchNorm.momentum)), total)
    return state.replace(
        generator=player.replace(ema_model_state={**player.ema_model_state, COLLECTION: mean})
    )
