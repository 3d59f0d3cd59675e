"""What the systems of a generator and a critic share: how they begin, their passes in training, sampling.

A loss draws its randomness from its key, one fold for every use; the uses are numbered here, so that no
two meet.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents, minibatch, spectral
from jaxgan.state import GANState, TrainState
from jaxgan.steps import Batch

Array = jax.Array
PyTree = Any
Prior = Callable[[Array], Array]

LATENTS, PENALTIES, NOISE, REPLAY = range(4)

# Collections of layers whose output for one sample depends on the others in the batch.
MIXING = ("batch_stats", minibatch.COLLECTION)


def apply(
    player: TrainState, params: PyTree, model_state: PyTree, x: Array, *, advance: bool
) -> tuple[Array, PyTree]:
    """A pass in training; u of spectral normalisation moves only if told to ``advance``.

    Returns:
      The network's output, and its collections after the pass.
    """
    mutable = [name for name in model_state if advance or name != spectral.COLLECTION]
    out, updated = player.apply_fn({"params": params, **model_state}, x, True, mutable=mutable)
    return out, {**model_state, **updated}


def apply_both(player: TrainState, params: PyTree, real: Array, fake: Array) -> tuple[Array, Array, PyTree]:
    """The one pass of a critic's update that advances its state, over real and fake samples.

    Returns:
      Its outputs for real and for fake samples, (B, ...) each, and its collections after the pass.
    """
    if any(name in player.model_state for name in MIXING):
        real_out, model_state = apply(player, params, player.model_state, real, advance=True)
        fake_out, model_state = apply(player, params, model_state, fake, advance=False)
        return real_out, fake_out, model_state
    # Side by side, not end to end, so that a batch split over devices stays where it is.
    both = jnp.stack([real, fake], 1).reshape(-1, *real.shape[1:])
    out, model_state = apply(player, params, player.model_state, both, advance=True)
    out = out.reshape(len(real), 2, *out.shape[1:])
    return out[:, 0], out[:, 1], model_state


def initial_state(
    generator: nn.Module,
    critic: nn.Module,
    *,
    generator_tx: optax.GradientTransformation,
    critic_tx: optax.GradientTransformation,
    prior: Prior,
) -> Callable[[Array, Batch], GANState]:
    """The function of a key and a batch, (n_critic, B, ...), that makes two players at their start."""

    def init(key: Array, batch: Batch) -> GANState:
        keys = [jax.random.fold_in(key, i) for i in range(3)]
        z = prior(latents.row_keys(keys[0], batch["row"][0, :1]))
        return GANState(
            step=jnp.int32(0),
            key=jnp.copy(key),
            generator=TrainState.create(
                variables=generator.init(keys[1], z, True),
                apply_fn=generator.apply,
                tx=generator_tx,
                ema=True,
            ),
            critic=TrainState.create(
                variables=critic.init(keys[2], batch["real"][0, :1], True),
                apply_fn=critic.apply,
                tx=critic_tx,
                ema=False,
            ),
            extra={},
        )

    return init


def generate_from(prior: Prior) -> Callable[..., tuple[Array, PyTree]]:
    """The ``GAN.generate`` of a generator whose input is a latent code alone."""

    def generate(
        params: PyTree, state: GANState, batch: Batch, key: Array, *, advance: bool
    ) -> tuple[Array, PyTree]:
        z = prior(latents.row_keys(jax.random.fold_in(key, LATENTS), batch["row"]))
        return apply(state.generator, params, state.generator.model_state, z, advance=advance)

    return generate


def sample_from(prior: Prior) -> Callable[[GANState, Array, Batch], Array]:
    """The ``GAN.sample`` of a generator whose input is a latent code alone."""

    def sample(state: GANState, key: Array, batch: Batch) -> Array:
        player = state.generator
        z = prior(latents.row_keys(key, batch["row"]))
        return player.apply_fn({"params": player.ema_params, **player.ema_model_state}, z, False)

    return sample
