"""Optimisers of optax by name, with scheduled hyper-parameters, parameter groups and weight clipping."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgan import schedules
from jaxgan.errors import SetupError, unknown

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adabelief": optax.adabelief,
    "adadelta": optax.adadelta,
    "adafactor": optax.adafactor,
    "adagrad": optax.adagrad,
    "adam": optax.adam,
    "adamax": optax.adamax,
    "adamaxw": optax.adamaxw,
    "adamw": optax.adamw,
    "adan": optax.adan,
    "amsgrad": optax.amsgrad,
    "fromage": optax.fromage,
    "lamb": optax.lamb,
    "lars": optax.lars,
    "lbfgs": optax.lbfgs,
    "lion": optax.lion,
    "noisy_sgd": optax.noisy_sgd,
    "novograd": optax.novograd,
    "optimistic_adam": optax.optimistic_adam,
    "optimistic_adam_v2": optax.optimistic_adam_v2,
    "optimistic_gradient_descent": optax.optimistic_gradient_descent,
    "radam": optax.radam,
    "rmsprop": optax.rmsprop,
    "rprop": optax.rprop,
    "scale_by_learning_rate": optax.scale_by_learning_rate,
    "scale_by_rprop": optax.scale_by_rprop,
    "sgd": optax.sgd,
    "sign_sgd": optax.sign_sgd,
    "sm3": optax.sm3,
    "yogi": optax.yogi,
}
if hasattr(optax, "signum"):  # optax 0.2.6, the oldest release that jaxgan supports, does not have it.
    OPTIMIZERS["signum"] = optax.signum


def clip_weights(bound: float) -> optax.GradientTransformation:
    """Keeps parameters in [−bound, bound] after every update; must be the last of a chain.

    update ← clip(p + update, −bound, bound) − p

    In floating point, p + (c − p) may round to a number beyond c. Such an update is shortened by one unit
    in the last place, so that the bound holds exactly from any initial weights.

    Args:
      bound: Positive bound, the paper's c. It may be a traced value.

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


def _scheduled(
    make: Callable[..., optax.GradientTransformation], hyper: Mapping[str, Any]
) -> optax.GradientTransformationExtraArgs:
    """Builds an optimiser whose hyper-parameters may be schedules of the ``step`` given to ``update``."""

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
    """Builds an optax optimiser from its name and hyper-parameters.

    Args:
      name: Key of :data:`OPTIMIZERS`, e.g. ``"adam"``, ``"sgd"`` or ``"rmsprop"``.
      clip: Bound of the weights. If given, weights are clipped to [−clip, clip] after every update.
      groups: Hyper-parameters of parts of the parameters, keyed by the first name of a parameter's path,
        e.g. ``{"mapping": {"learning_rate": 2e-5}}``. A group inherits the hyper-parameters that it does
        not set.
      **hyper: Arguments of the optimiser, e.g. ``learning_rate=2e-4, b1=0.5``. Each may be a schedule of
        the training step, see :mod:`jaxgan.schedules`.

    Returns:
      The transformation. Its ``update`` takes the training step ``step`` as an extra argument.

    Raises:
      SetupError: There is no such optimiser, or the optimiser takes no such argument. ``init`` of the
        transformation raises this error if no parameter belongs to a group.

    >>> params = {"w": jnp.ones(())}
    >>> tx = build("sgd", learning_rate=10.0, clip=0.01)
    >>> updates, _ = tx.update({"w": jnp.ones(())}, tx.init(params), params)
    >>> abs(float(optax.apply_updates(params, updates)["w"])) <= 0.01
    True
    """
    if not isinstance(name, str) or name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    make = OPTIMIZERS[name]
    parameters = inspect.signature(make).parameters

    def build_one(hyper: Mapping[str, Any]) -> optax.GradientTransformation:
        for argument in hyper:
            if argument not in parameters:
                raise unknown(f"{name} argument", argument, parameters)
        built = {argument: schedules.build(value, argument) for argument, value in hyper.items()}
        tx = _scheduled(make, built)
        try:
            jax.eval_shape(tx.init, {"w": jax.ShapeDtypeStruct((), jnp.float32)})
        except (TypeError, ValueError) as error:
            raise SetupError(f"optimizer {name} with {describe(hyper)}: {error}") from error
        return tx

    tx = build_one(hyper)
    if groups:
        rest = ""  # No parameter has an empty name.
        own = {group: build_one({**hyper, **values}) for group, values in groups.items()}

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
    """Formats hyper-parameters in one line, as in ``learning_rate=0.1, b1=0.5``."""
    return ", ".join(f"{name}={value}" for name, value in hyper.items())
