"""Any optax optimiser by its name, and weight clipping as a transformation."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan import schedules
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


def _scheduled(
    make: Callable[..., optax.GradientTransformation], hyper: Mapping[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimiser whose hyper-parameters may be schedules of ``step``, an argument of its update."""

    def at(step: jax.Array | int) -> optax.GradientTransformationExtraArgs:
        return optax.with_extra_args_support(
            make(**{name: schedules.at(value, step) for name, value in hyper.items()})
        )

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        step: jax.Array | int = 0,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        return at(step).update(updates, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(lambda params: at(0).init(params), update)


def build(
    name: str,
    *,
    clip: float | None = None,
    groups: Mapping[str, Mapping[str, Any]] | None = None,
    **hyper: Any,
) -> optax.GradientTransformation:
    """Builds the optax optimiser of that name.

    Args:
      name: e.g. ``"adam"``, ``"sgd"``, ``"rmsprop"``.
      clip: if given, weights are clipped to [−clip, clip] after every update.
      groups: hyper-parameters of their own for parts of the parameters, by the first name of a parameter's
        path, e.g. ``{"mapping": {"learning_rate": 2e-5}}``. What a group does not give is as for the rest.
      **hyper: the optimiser's own arguments, e.g. ``learning_rate=2e-4, b1=0.5``; each may be a schedule of
        the game's step, see :mod:`jaxgan.schedules`.

    Returns:
      The transformation. Its ``update`` takes the game's ``step`` as an extra argument.

    Raises:
      SetupError: optax has no such optimiser, or it takes no such argument; the message says which do. By
        ``init``: no parameter belongs to a group.

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

    def one(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        for argument in hyper:
            if argument not in parameters:
                raise unknown(f"{name} argument", argument, parameters)
        built = {argument: schedules.build(value, argument) for argument, value in hyper.items()}
        tx = _scheduled(optimizers[name], built)
        try:
            jax.eval_shape(tx.init, {"w": jax.ShapeDtypeStruct((), jnp.float32)})
        except (TypeError, ValueError) as error:
            raise SetupError(f"optimizer {name} with {describe(hyper)}: {error}") from error
        return tx

    tx = one(hyper)
    if groups:
        rest = ""  # no name of a parameter is empty
        own = {group: one({**hyper, **values}) for group, values in groups.items()}

        def labels(params: optax.Params) -> Any:
            missing = [group for group in groups if group not in params]
            if missing:
                raise unknown("group of parameters", missing[0], params)
            return {
                part: jax.tree.map(lambda _, part=part: part if part in own else rest, values)
                for part, values in params.items()
            }

        tx = optax.partition({**own, rest: tx}, labels)
    return tx if clip is None else optax.chain(tx, clip_weights(clip))


def describe(hyper: Mapping[str, Any]) -> str:
    """Hyper-parameters in one line: ``learning_rate=0.1, b1=0.5``."""
    return ", ".join(f"{name}={value}" for name, value in hyper.items())
