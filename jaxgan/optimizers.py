"""Any optax optimiser by its name, and weight clipping as a transformation."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan.errors import SetupError, unknown


def clip_weights(bound: float) -> optax.GradientTransformation:
    """Keeps parameters in [−bound, bound] after every update; to be the last of a chain.

    update ← clip(p + update, −bound, bound) − p

    p + (c − p) may round to a number beyond c, so such an update is shortened by one unit in the
    last place: the promise holds exactly, from any initial weights.

    Args:
      bound: the paper's c, positive; it may be a traced value.

    Returns:
      A stateless transformation whose ``update`` needs the parameters.

    References:
      Arjovsky et al., 2017, algorithm 1, https://arxiv.org/abs/1701.07875
    """

    def update(
        updates: optax.Updates, state: optax.EmptyState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.EmptyState]:
        if params is None:
            raise ValueError("clip_weights needs params: call update(updates, state, params)")

        def clip(u: jax.Array, p: jax.Array) -> jax.Array:
            update = jnp.clip(p + u, -bound, bound) - p
            result = p + update
            unit = jnp.spacing(jnp.maximum(jnp.abs(p), jnp.abs(update)))
            return jnp.where(jnp.abs(result) > bound, update - jnp.sign(result) * unit, update)

        return jax.tree.map(clip, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _optimizers() -> dict[str, Callable[..., optax.GradientTransformation]]:
    """Optax's optimisers: its public functions whose first argument is the learning rate."""
    found: dict[str, Callable[..., optax.GradientTransformation]] = {}
    for name, function in vars(optax).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            parameters = list(inspect.signature(function).parameters)
            if parameters and parameters[0] == "learning_rate":
                found[name] = function
    return found


def build(name: str, *, clip: float | None = None, **hyper: Any) -> optax.GradientTransformation:
    """The optax optimiser of that name.

    Args:
      name: e.g. ``"adam"``, ``"sgd"``, ``"rmsprop"``.
      clip: if given, weights are clipped to [−clip, clip] after every update.
      **hyper: the optimiser's own arguments, e.g. ``learning_rate=2e-4, b1=0.5``.

    Returns:
      The transformation.

    Raises:
      SetupError: optax has no such optimiser, or it takes no such argument; the message says which do.

    >>> params = {"w": jnp.ones(())}
    >>> tx = build("sgd", learning_rate=10.0, clip=0.01)
    >>> updates, _ = tx.update({"w": jnp.ones(())}, tx.init(params), params)
    >>> abs(float(optax.apply_updates(params, updates)["w"])) <= 0.01
    True
    """
    optimizers = _optimizers()
    if name not in optimizers:
        raise unknown("optimizer", name, optimizers)
    parameters = inspect.signature(optimizers[name]).parameters
    for argument in hyper:
        if argument not in parameters:
            raise unknown(f"{name} argument", argument, parameters)
    try:
        tx = optimizers[name](**hyper)
    except (TypeError, ValueError) as error:
        raise SetupError(f"optimizer {name} with {describe(hyper)}: {error}") from error
    return tx if clip is None else optax.chain(tx, clip_weights(clip))


def describe(hyper: Mapping[str, Any]) -> str:
    """Hyper-parameters in one line: ``learning_rate=0.1, b1=0.5``."""
    return ", ".join(f"{name}={value}" for name, value in hyper.items())
