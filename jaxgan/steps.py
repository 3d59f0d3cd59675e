"""The one train step. It knows no model and no loss: a GAN is two pure loss functions.

critic_loss(critic_params, state, batch, key)        -> (loss, Aux)
generator_loss(generator_params, state, batch, key)  -> (loss, Aux)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgan.state import GANState, TrainState

Array = jax.Array
PyTree = Any
Batch = Mapping[str, Array]


class Aux(NamedTuple):
    """What a player's update changes besides its parameters.

    Attributes:
      metrics: scalars to be logged, by name.
      model_state: that player's collections after the pass.
      extra: the new ``GANState.extra``.
    """

    metrics: dict[str, Array]
    model_state: PyTree
    extra: PyTree = None


Loss = Callable[[PyTree, GANState, Batch, Array], tuple[Array, Aux]]


class GAN(NamedTuple):
    """A system: functions and nothing else.

    Attributes:
      init: ``init(key, batch) -> GANState``, from a batch shaped as ``train_step`` takes it.
      critic_loss: see the module's docstring; its batch is (B, ...), without the critic's axis.
      generator_loss: the same.
      sample: ``sample(state, key, batch) -> samples`` from averaged weights, one for each of
        ``batch["row"]``, (B,), with whatever conditions the batch carries.
      generate: ``generate(generator_params, state, batch, key, advance=...) -> (samples, model_state)``,
        the samples that a loss given the same key trains on, for those who build on a system
        (:mod:`jaxgan.remedies`). The critic's loss takes them from ``state.generator.params`` and
        does not advance the generator's collections; the generator's does.
    """

    init: Callable[[Array, Batch], GANState]
    critic_loss: Loss
    generator_loss: Loss
    sample: Callable[[GANState, Array, Batch], Array]
    generate: Callable[..., tuple[Array, PyTree]]


def train_step(
    state: GANState, batch: Batch, *, gan: GAN, ema_decay: float, axis_name: str | None = None
) -> tuple[GANState, dict[str, Array]]:
    """One iteration: the critic's updates, then one of the generator.

    Args:
      state: the game so far.
      batch: arrays of shape (n_critic, B, ...), a slice for each of the critic's updates; the
        generator's update reads the last one. ``batch["row"]`` holds each sample's place in the
        global batch.
      gan: the system (static).
      ema_decay: decay of the generator's averages, ramped up as min(ema_decay, (1 + t) / (10 + t)) so
        that a short run does not remember its initial weights (static).
      axis_name: the ``pmap`` axis that the batch is split over, if any (static). Gradients, metrics and
        batch statistics are averaged over it. Under ``jit`` the batch is global and none is needed.

    Returns:
      The new state and scalar metrics: both losses, both gradients' norms and what the losses report,
      the critic's from its last update.
    """
    key = jax.random.fold_in(state.key, state.step)
    n_critic = len(jax.tree.leaves(batch)[0])

    def average(tree: PyTree) -> PyTree:
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def update(
        loss: Loss, player: TrainState, name: str, state: GANState, batch: Batch, key: Array
    ) -> tuple[TrainState, PyTree, dict[str, Array]]:
        (value, aux), grads = jax.value_and_grad(loss, has_aux=True)(player.params, state, batch, key)
        value, grads, metrics, model_state = average((value, grads, aux.metrics, aux.model_state))
        metrics = {
            f"{name}_loss": value,
            f"{name}_grad_norm": optax.global_norm(grads),
            **metrics,
        }
        return player.apply_gradients(grads, model_state), aux.extra, metrics

    def critic_update(
        state: GANState, number_and_batch: tuple[Array, Batch]
    ) -> tuple[GANState, dict[str, Array]]:
        number, batch = number_and_batch
        this_key = jax.random.fold_in(key, number)
        critic, extra, metrics = update(gan.critic_loss, state.critic, "critic", state, batch, this_key)
        return state.replace(critic=critic, extra=extra), metrics

    # The critic's last update lies outside the loop: the generator's draws the same latents, and so XLA can
    # make the samples for both at once.
    first, last = ({name: values[i] for name, values in batch.items()} for i in (slice(0, -1), -1))
    if n_critic > 1:
        state, _ = jax.lax.scan(critic_update, state, (jnp.arange(n_critic - 1), first))
    state, metrics = critic_update(state, (jnp.asarray(n_critic - 1), last))
    last_key = jax.random.fold_in(key, n_critic - 1)
    generator, extra, generator_metrics = update(
        gan.generator_loss, state.generator, "generator", state, last, last_key
    )
    decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
    if generator.ema_params is not None:
        generator = generator.update_ema(decay)
    state = state.replace(step=state.step + 1, generator=generator, extra=extra)
    return state, {**metrics, **generator_metrics}
