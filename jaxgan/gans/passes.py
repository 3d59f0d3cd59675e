"""Functions shared by two-player systems: initialisation, forward passes and sampling from averages.

A loss draws its randomness from its key, with one fold for each use. The uses are numbered here so that no
two of them collide.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgan import latents
from jaxgan.errors import SetupError
from jaxgan.layers import minibatch
from jaxgan.ops import spectral
from jaxgan.state import GANState, TrainState
from jaxgan.steps import Batch

Array = jax.Array
PyTree = Any
# Function from (B,) PRNG keys, optionally with a (B,) truncation, to (B, dim) latents.
Prior = Callable[..., Array]

LATENTS, PENALTIES, NOISE, REPLAY, CONDITIONS, CODES = range(6)

# Collections of layers whose output for one sample depends on the others in the batch.
MIXING = ("batch_stats", minibatch.COLLECTION)


def keys_for(key: Array, use: int, batch: Batch) -> Array:
    """Returns (B,) PRNG keys, one per row of a batch, for one use of randomness in a loss."""
    return latents.row_keys(jax.random.fold_in(key, use), batch["row"])


def forward(
    module: nn.Module,
    params: PyTree,
    model_state: PyTree,
    *inputs: PyTree,
    advance: bool,
    method: str | None = None,
) -> tuple[PyTree, PyTree]:
    """Runs a network in training mode; ``advance`` says whether the spectral-norm vectors are updated.

    Args:
      module: Network, called as ``(*inputs, train)``.
      params: Parameters of the network.
      model_state: Other collections of the network.
      *inputs: Inputs of the network, any pytrees, including PRNG keys of the rows if the network draws.
      advance: Whether this is the one pass of the player's update that advances ``spectral``.
      method: Method of the module to run instead of its ``__call__``.

    Returns:
      The output of the network, and its collections after the pass.
    """
    mutable = [name for name in model_state if advance or name != spectral.COLLECTION]
    out, updated = module.apply(
        {"params": params, **model_state}, *inputs, True, mutable=mutable, method=method
    )
    return out, {**model_state, **updated}


def forward_all(
    module: nn.Module,
    params: PyTree,
    model_state: PyTree,
    *inputs: tuple[PyTree, ...],
    method: str | None = None,
) -> tuple[tuple[PyTree, ...], PyTree]:
    """Runs a critic on several inputs, in the one pass of its update that advances its state.

    Args:
      module: Critic network.
      params: Parameters of the critic.
      model_state: Other collections of the critic.
      *inputs: Inputs of the network, such as those for real and those for generated samples, which are
        pytrees of (B, ...) arrays of the same shapes.
      method: Name of the method to run instead of the module's call.

    Returns:
      The output for each of the inputs, and the critic's collections after the pass.
    """
    if any(name in model_state for name in MIXING):
        outs = []
        for number, own in enumerate(inputs):
            out, model_state = forward(
                module, params, model_state, *own, advance=number == 0, method=method
            )
            outs.append(out)
        return tuple(outs), model_state
    # The rows of all inputs are interleaved, not concatenated, so that each row stays on its device.
    count = len(inputs)
    joined = jax.tree.map(lambda *x: jnp.stack(x, 1).reshape(-1, *x[0].shape[1:]), *inputs)
    out, model_state = forward(module, params, model_state, *joined, advance=True, method=method)
    split = jax.tree.map(lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]), out)
    return tuple(jax.tree.map(lambda x, i=i: x[:, i], split) for i in range(count)), model_state


def forward_both(
    module: nn.Module,
    params: PyTree,
    model_state: PyTree,
    real: tuple[PyTree, ...],
    fake: tuple[PyTree, ...],
    *,
    method: str | None = None,
) -> tuple[PyTree, PyTree, PyTree]:
    """Runs a critic on real and fake inputs, in the one pass of its update that advances its state.

    Args:
      module: Critic network.
      params: Parameters of the critic.
      model_state: Other collections of the critic.
      real: Inputs for real samples, pytrees of (B, ...) arrays.
      fake: Inputs for generated samples, of the same shapes.
      method: Method of the module to run instead of its ``__call__``.

    Returns:
      The outputs for real and for fake inputs, and the critic's collections after the pass.
    """
    (real_out, fake_out), model_state = forward_all(module, params, model_state, real, fake, method=method)
    return real_out, fake_out, model_state


def evaluate(module: nn.Module, player: TrainState, *inputs: PyTree, method: str | None = None) -> PyTree:
    """Runs a player's network for evaluation, with its averaged weights if it keeps any."""
    params, model_state = player.averages
    return module.apply({"params": params, **model_state}, *inputs, False, method=method)


def features(module: nn.Module, player: TrainState, *inputs: PyTree) -> Any:
    """Returns the (B, F) features that a critic sows into ``intermediates``; None if it sows none."""
    variables = {"params": player.params, **player.model_state}
    _, sown = module.apply(variables, *inputs, True, mutable=["intermediates"])
    found = sown.get("intermediates", {}).get("features")
    return found[0] if found else None


def example(batch: Batch, *fields: str) -> tuple[Array, ...]:
    """Returns the first sample of each field of an (n_critic, B, ...) batch, as (1, ...), for ``init``."""
    return tuple(batch[name][0, :1] for name in fields)


def _check_call(player: str, module: nn.Module, inputs: tuple[PyTree, ...]) -> None:
    signature = inspect.signature(module.__call__)
    try:
        signature.bind(*inputs, True)
    except TypeError as error:
        raise SetupError(
            f"the {player} is called with {len(inputs)} inputs and train, but {type(module).__module__}."
            f"{type(module).__name__} takes ({', '.join(signature.parameters)}): give another network"
        ) from error


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
    """Initialises both players.

    Args:
      key: PRNG key of the run.
      generator: Module that holds the first player's networks.
      generator_inputs: Example inputs of ``generator``, of any batch size.
      generator_tx: Optimiser of the first player.
      critic: Module that holds the second player's networks; None in a system without one.
      critic_inputs: Example inputs of ``critic``.
      critic_tx: Optimiser of the second player.
      critic_ema: Whether the critic keeps averages, as the generator does.

    Returns:
      The state of step 0, with an empty ``extra``.

    Raises:
      SetupError: A network takes another number of inputs, for example because it reads no labels.
    """
    _check_call("generator", generator, generator_inputs)
    keys = [jax.random.fold_in(key, i) for i in (1, 2)]
    first = TrainState.create(
        variables=generator.init(keys[0], *generator_inputs, True), tx=generator_tx, ema=True
    )
    second = None
    if critic is not None:
        assert critic_tx is not None
        _check_call("critic", critic, critic_inputs)
        second = TrainState.create(
            variables=critic.init(keys[1], *critic_inputs, True), tx=critic_tx, ema=critic_ema
        )
    return GANState(step=jnp.int32(0), key=jnp.copy(key), generator=first, critic=second, extra={})


def latents_for(prior: Prior, keys: Array, conditions: Mapping[str, Array]) -> Array:
    """Returns the requested latents: ``z`` of the conditions, or draws within their ``truncation``."""
    if "z" in conditions:
        return conditions["z"]
    if "truncation" in conditions:
        return prior(keys, truncation=conditions["truncation"])
    return prior(keys)
