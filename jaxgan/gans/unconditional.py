"""A generator against a critic, with no labels: GAN, DCGAN, WGAN, WGAN-GP, LSGAN, SNGAN, DRAGAN, ..."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.losses import LossPair
from jaxgan.state import GANState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any
# (critic_fn, real, fake, key) -> scalar, its weight included
Penalty = Callable[[Callable[[Array], Array], Array, Array, Array], Array]

# What would do instead of a critic's layers with these collections.
INSTEAD = {
    "batch_stats": "give the critic norm layer, spectral or none",
    "minibatch": "give the critic minibatch none",
}


def unconditional(
    generator: nn.Module,
    critic: nn.Module,
    *,
    loss: LossPair | Callable[[Array], LossPair],
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: Callable[[Array], Array],
    penalties: Mapping[str, Penalty] | None = None,
    axis_name: str | None = None,
) -> GAN:
    """Composes any loss, penalties and models into a system.

    Args:
      generator: module called as ``(z, train)``, latents to samples.
      critic: module called as ``(x, train)``, samples to logits.
      loss: a pair from :mod:`jaxgan.losses`, or a function of the step that gives one.
      generator_tx: the generator's optimiser.
      critic_tx: the critic's optimiser, weight clipping included where the objective wants it.
      prior: (B,) PRNG keys to (B, dim) latents, e.g. ``partial(latents.normal, dim=100)``.
      penalties: added to the critic's loss; each ``(critic_fn, real, fake, key) -> scalar`` with its
        weight applied, logged under its name.
      axis_name: the ``pmap`` axis that the batch is split over, if any.

    Returns:
      The system. Its batches hold ``real``, (B, ...), and ``row``, (B,).

    Raises:
      SetupError: by ``init``, if there are penalties and the critic mixes the samples of a batch.
    """
    penalties = dict(penalties or {})
    begin = passes.initial_state(
        generator, critic, generator_tx=generator_tx, critic_tx=critic_tx, prior=prior
    )
    generate = passes.generate_from(prior)

    def pair_at(step: Array) -> LossPair:
        pair = loss if isinstance(loss, LossPair) else loss(step)
        if not pair.relativistic:
            return pair
        # Its means are over the whole batch, wherever it lies.
        return pair._replace(
            critic=functools.partial(pair.critic, axis_name=axis_name),
            generator=functools.partial(pair.generator, axis_name=axis_name),
        )

    def init(key: Array, batch: Batch) -> GANState:
        state = begin(key, batch)
        mixing = [name for name in passes.MIXING if name in state.critic.model_state]
        if penalties and mixing:
            raise SetupError(
                f"penalties {', '.join(penalties)} need a gradient for each sample, but the critic mixes"
                f" the samples of a batch (its collection {mixing[0]!r}): {INSTEAD[mixing[0]]}"
            )
        return state

    def critic_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        real = batch["real"]
        fake, _ = generate(state.generator.params, state, batch, key, advance=False)
        real_logits, fake_logits, model_state = passes.apply_both(state.critic, params, real, fake)

        def judge(x: Array) -> Array:
            return passes.apply(state.critic, params, model_state, x, advance=False)[0]

        value = pair_at(state.step).critic(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        keys = latents.row_keys(jax.random.fold_in(key, passes.PENALTIES), batch["row"])
        for name, penalty in penalties.items():
            metrics[name] = penalty(judge, real, fake, keys)
            value += metrics[name]
        return value, Aux(metrics, model_state, state.extra)

    def generator_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        def judge(x: Array) -> Array:
            player = state.critic
            return passes.apply(player, player.params, player.model_state, x, advance=False)[0]

        fake, model_state = generate(params, state, batch, key, advance=True)
        pair, logits = pair_at(state.step), [judge(fake)]
        if pair.relativistic:
            logits.insert(0, judge(batch["real"]))
        return pair.generator(*logits), Aux({}, model_state, state.extra)

    return GAN(jax.jit(init), critic_loss, generator_loss, passes.sample_from(prior), generate)
