"""What systems of two players share: how they begin, their passes in training, sampling from averages.

A loss draws its randomness from its key, one fold for every use; the uses are numbered here, so that no
two meet.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents
from jaxgan.layers import minibatch
from jaxgan.ops import spectral
from jaxgan.state import GANState, TrainState
from jaxgan.steps import Batch

Array = jax.Array
PyTree = Any
# (B,) PRNG keys, perhaps a (B,) truncation, to (B, dim) latents.
Prior = Callable[..., Array]

LATENTS, PENALTIES, NOISE, REPLAY, CONDITIONS = range(5)

# Collections of layers whose output for one sample depends on the others in the batch.
MIXING = ("batch_stats", minibatch.COLLECTION)


def keys_for(key: Array, use: int, batch: Batch) -> Array:
    """Returns the (B,) PRNG keys of a batch's rows for one of a loss's uses of randomness."""
    return latents.row_keys(jax.random.fold_in(key, use), batch["row"])


def forward(
    module: nn.Module,
    params: PyTree,
    model_state: PyTree,
    *inputs: PyTree,
    advance: bool,
    method: str | None = None,
) -> tuple[PyTree, PyTree]:
    """Runs a network in training; u of spectral normalisation moves only if told to ``advance``.

    Args:
      module: the network, called as ``(*inputs, train)``.
      params: its parameters.
      model_state: its other collections.
      *inputs: any pytrees, PRNG keys of the rows among them where it draws.
      advance: whether this is the one pass of its player's update that advances ``spectral``.
      method: the module's method to run instead of its call.

    Returns:
      The network's output, and its collections after the pass.
    """
    mutable = [name for name in model_state if advance or name != spectral.COLLECTION]
    out, updated = module.apply(
        {"params": params, **model_state}, *inputs, True, mutable=mutable, method=method
    )
    return out, {**model_state, **updated}


def forward_both(
    module: nn.Module,
    params: PyTree,
    model_state: PyTree,
    real: tuple[PyTree, ...],
    fake: tuple[PyTree, ...],
) -> tuple[PyTree, PyTree, PyTree]:
    """Runs a critic on real and fake inputs, in the one pass of its update that advances its state.

    Args:
      module: the critic.
      params: its parameters.
      model_state: its other collections.
      real: its inputs for real samples, pytrees of (B, ...) arrays.
      fake: the same for generated ones, of the same shapes.

    Returns:
      Its outputs for real and for fake inputs, and its collections after the pass.
    """
    if any(name in model_state for name in MIXING):
        real_out, model_state = forward(module, params, model_state, *real, advance=True)
        fake_out, model_state = forward(module, params, model_state, *fake, advance=False)
        return real_out, fake_out, model_state
    # Side by side, not end to end, so that a batch split over devices stays where it is.
    both = jax.tree.map(lambda a, b: jnp.stack([a, b], 1).reshape(-1, *a.shape[1:]), real, fake)
    out, model_state = forward(module, params, model_state, *both, advance=True)
    pairs = jax.tree.map(lambda x: x.reshape(x.shape[0] // 2, 2, *x.shape[1:]), out)
    return *(jax.tree.map(lambda x, i=i: x[:, i], pairs) for i in (0, 1)), model_state


def evaluate(module: nn.Module, player: TrainState, *inputs: PyTree, method: str | None = None) -> PyTree:
    """Runs a player's network for evaluation, with its averages if it keeps any."""
    params, model_state = player.averages
    return module.apply({"params": params, **model_state}, *inputs, False, method=method)


def features(module: nn.Module, player: TrainState, *inputs: PyTree) -> Any:
    """Returns the (B, F) features that a critic sows into ``intermediates``; None if it sows none."""
    variables = {"params": player.params, **player.model_state}
    _, sown = module.apply(variables, *inputs, True, mutable=["intermediates"])
    found = sown.get("intermediates", {}).get("features")
    return found[0] if found else None


def example(batch: Batch, *fields: str) -> tuple[Array, ...]:
    """Returns one sample of each field of a batch, (n_critic, B, ...), as (1, ...): to begin with."""
    return tuple(batch[name][0, :1] for name in fields)


def begin(
    key: Array,
    *,
    generator: nn.Module,
    generator_inputs: tuple[PyTree, ...],
    generator_tx: optax.GradientTransformation,
    critic: nn.Module | None = None,
    critic_inputs: tuple[PyTree, ...] = (),
    critic_tx: optax.GradientTransformation | None = None,
    critic_ema: bool = False,
) -> GANState:
    """Makes both players at their start.

    Args:
      key: the run's.
      generator: the first player's networks.
      generator_inputs: what they are called with, of any batch size.
      generator_tx: their optimiser.
      critic: the second player's, None in a game without one.
      critic_inputs: what they are called with.
      critic_tx: their optimiser.
      critic_ema: whether the critic keeps averages, as the generator does.

    Returns:
      The state of step 0, ``extra`` empty.
    """
    keys = [jax.random.fold_in(key, i) for i in (1, 2)]
    first = TrainState.create(
        variables=generator.init(keys[0], *generator_inputs, True), tx=generator_tx, ema=True
    )
    second = None
    if critic is not None:
        assert critic_tx is not None
        second = TrainState.create(
            variables=critic.init(keys[1], *critic_inputs, True), tx=critic_tx, ema=critic_ema
        )
    return GANState(step=jnp.int32(0), key=jnp.copy(key), generator=first, critic=second, extra={})


def latents_for(prior: Prior, keys: Array, conditions: Mapping[str, Array]) -> Array:
    """Returns the latents that conditions ask for: ``z`` itself, or draws within their ``truncation``."""
    if "z" in conditions:
        return conditions["z"]
    if "truncation" in conditions:
        return prior(keys, truncation=conditions["truncation"])
    return prior(keys)
