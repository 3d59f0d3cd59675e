"""A generator against a critic, with no labels: GAN, DCGAN, WGAN, WGAN-GP, LSGAN, SNGAN, DRAGAN, ..."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents, spectral
from jaxgan.errors import SetupError
from jaxgan.losses import LossPair
from jaxgan.state import GANState, TrainState
from jaxgan.steps import GAN, Aux, Batch

Array = jax.Array
PyTree = Any
# (critic_fn, real, fake, key) -> scalar, its weight included
Penalty = Callable[[Callable[[Array], Array], Array, Array, Array], Array]

# Collections of layers whose output for one sample depends on the others in the batch.
MIXING = ("batch_stats",)


def unconditional(
    generator: nn.Module,
    critic: nn.Module,
    *,
    loss: LossPair,
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
      loss: a pair from :mod:`jaxgan.losses`.
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
    critic_side, generator_side = loss.critic, loss.generator
    if loss.relativistic:  # its means are over the whole batch, wherever it lies
        critic_side = functools.partial(critic_side, axis_name=axis_name)
        generator_side = functools.partial(generator_side, axis_name=axis_name)

    def apply(
        player: TrainState, params: PyTree, model_state: PyTree, x: Array, advance: bool
    ) -> tuple[Array, PyTree]:
        """A pass in training; u of spectral normalisation moves only if told to ``advance``."""
        mutable = [name for name in model_state if advance or name != spectral.COLLECTION]
        out, updated = player.apply_fn({"params": params, **model_state}, x, True, mutable=mutable)
        return out, {**model_state, **updated}

    def generate(state: GANState, params: PyTree, batch: Batch, key: Array, advance: bool) -> Any:
        z = prior(latents.row_keys(jax.random.fold_in(key, 0), batch["row"]))
        return apply(state.generator, params, state.generator.model_state, z, advance)

    def judge_both(
        player: TrainState, params: PyTree, real: Array, fake: Array
    ) -> tuple[Array, Array, PyTree]:
        """The one pass in training that advances the critic's state, over real and fake samples."""
        if any(name in player.model_state for name in MIXING):
            real_logits, model_state = apply(player, params, player.model_state, real, advance=True)
            fake_logits, model_state = apply(player, params, model_state, fake, advance=False)
            return real_logits, fake_logits, model_state
        # Side by side, not end to end, so that a batch split over devices stays where it is.
        both = jnp.stack([real, fake], 1).reshape(-1, *real.shape[1:])
        logits, model_state = apply(player, params, player.model_state, both, advance=True)
        logits = logits.reshape(len(real), 2, *logits.shape[1:])
        return logits[:, 0], logits[:, 1], model_state

    def init(key: Array, batch: Batch) -> GANState:
        keys = [jax.random.fold_in(key, i) for i in range(3)]
        z = prior(latents.row_keys(keys[0], batch["row"][0, :1]))
        variables = generator.init(keys[1], z, True)
        critic_variables = critic.init(keys[2], batch["real"][0, :1], True)
        mixing = [name for name in MIXING if name in critic_variables]
        if penalties and mixing:
            raise SetupError(
                f"penalties {', '.join(penalties)} need a gradient for each sample, but the critic mixes"
                f" the samples of a batch (its collection {mixing[0]!r}): give the critic norm layer,"
                " spectral or none"
            )
        return GANState(
            step=jnp.int32(0),
            key=jnp.copy(key),
            generator=TrainState.create(
                variables=variables, apply_fn=generator.apply, tx=generator_tx, ema=True
            ),
            critic=TrainState.create(
                variables=critic_variables, apply_fn=critic.apply, tx=critic_tx, ema=False
            ),
        )

    def critic_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        real = batch["real"]
        fake, _ = generate(state, state.generator.params, batch, key, advance=False)
        real_logits, fake_logits, model_state = judge_both(state.critic, params, real, fake)

        def judge(x: Array) -> Array:
            return apply(state.critic, params, model_state, x, advance=False)[0]

        value = critic_side(real_logits, fake_logits)
        metrics = {"real_logits": jnp.mean(real_logits), "fake_logits": jnp.mean(fake_logits)}
        keys = latents.row_keys(jax.random.fold_in(key, 1), batch["row"])
        for name, penalty in penalties.items():
            metrics[name] = penalty(judge, real, fake, keys)
            value += metrics[name]
        return value, Aux(metrics, model_state, state.extra)

    def generator_loss(params: PyTree, state: GANState, batch: Batch, key: Array) -> tuple[Array, Aux]:
        def judge(x: Array) -> Array:
            player = state.critic
            return apply(player, player.params, player.model_state, x, advance=False)[0]

        fake, model_state = generate(state, params, batch, key, advance=True)
        fake_logits = judge(fake)
        if loss.relativistic:
            value = generator_side(judge(batch["real"]), fake_logits)
        else:
            value = generator_side(fake_logits)
        return value, Aux({}, model_state, state.extra)

    def sample(state: GANState, key: Array, batch: Batch) -> Array:
        player = state.generator
        z = prior(latents.row_keys(key, batch["row"]))
        return player.apply_fn({"params": player.ema_params, **player.ema_model_state}, z, False)

    return GAN(jax.jit(init), critic_loss, generator_loss, sample)
