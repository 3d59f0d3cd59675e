"""Runs that differ in numbers only, trained as one program, a member for each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import build
from experiments.cli import flatten, unshared
from jaxgan.state import GANState, is_key
from jaxgan.steps import Batch, train_step

Array = jax.Array
PyTree = Any

# Fields whose numbers may be traced, by how their dotted names begin: those that only enter arithmetic.
TRACEABLE = ("seed", "ema_decay", "optimizers.", "penalties.", "remedies.", "began.")


class Member(flax.struct.PyTreeNode):
    """One run; in a population every array has an axis of members before its own.

    Attributes:
      state: the game's. One that failed stays as it was before the step it failed in.
      values: by field, the numbers it does not share with the others.
      failed: int32, the step whose loss or gradient was not finite, 0 for none.
    """

    state: GANState
    values: dict[str, Array]
    failed: Array


class Population(flax.struct.PyTreeNode):
    """What a checkpoint of a population holds.

    Attributes:
      step: generator updates done, int32.
      members: all of them.
    """

    step: Array
    members: Member


class Group(NamedTuple):
    """Configs that share a program.

    Attributes:
      config: the first one's.
      values: by field, (P,) numbers in which they differ; the seed is always among them.
      indices: each one's place in the list that was grouped.
    """

    config: ConfigDict
    values: dict[str, np.ndarray]
    indices: tuple[int, ...]


def _traceable(name: str, value: Any) -> bool:
    # A 0 leaves its penalty out of the program, and is part of the program's shape.
    return name == "seed" or (isinstance(value, float) and value != 0 and name.startswith(TRACEABLE))


def group(configs: Sequence[ConfigDict]) -> list[Group]:
    """Puts configs together that differ in traceable numbers only, in the order they first appear in."""
    found: dict[tuple[Any, ...], list[int]] = {}
    flat = [flatten(config) for config in configs]
    for i, fields in enumerate(flat):
        shape = tuple(
            (name, None if _traceable(name, value) else repr(value))
            for name, value in sorted(fields.items())
        )
        found.setdefault(shape, []).append(i)
    groups = []
    for indices in found.values():
        values = {}
        for name, value in flat[indices[0]].items():
            column = [flat[i][name] for i in indices]
            if name == "seed" or (_traceable(name, value) and len(set(column)) > 1):
                values[name] = np.asarray(column, np.uint32 if name == "seed" else np.float32)
        groups.append(Group(configs[indices[0]], values, tuple(indices)))
    return groups


def with_values(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A copy of a config with other values, perhaps traced, in the fields given by dotted names."""
    copy = unshared(config)
    with copy.ignore_type():
        for name, value in values.items():
            *parents, field = name.split(".")
            node = copy
            for parent in parents:
                if parent not in node:
                    node[parent] = ConfigDict()
                node = node[parent]
            # Its own: a config may give several points the same section, and change a field of it for each.
            node[field] = unshared(value) if isinstance(value, ConfigDict) else value
    return copy


class Program(NamedTuple):
    """One member's functions, for a population to map.

    Attributes:
      init: ``init(values)``, the member at the start.
      step: ``step(member, batch) -> (member, metrics)``, a step of ``train_step``; if it comes to a loss or
        gradient that is not finite, the member stays as it was for good, and its metrics are NaN.
      sample: ``sample(state, key, batch)``.
    """

    init: Callable[[dict[str, Array]], Member]
    step: Callable[[Member, Batch], tuple[Member, dict[str, Array]]]
    sample: Callable[..., Array]


def program(config: ConfigDict) -> Program:
    """The functions of the members that a group's config stands for."""
    plain = build.build(config)
    # A state carries its optimiser, and an optimiser the numbers it was made with. A member's are traced
    # and must not leave the function that traces them: outside, its state carries the group's.
    outside = jax.tree.structure(jax.eval_shape(build.initializer(config, plain)))

    def init(values: dict[str, Array]) -> Member:
        own = with_values(config, values)
        leaves = jax.tree.leaves(build.initializer(own, build.build(own))())
        return Member(jax.tree.unflatten(outside, leaves), values, jnp.int32(0))

    def step(member: Member, batch: Batch) -> tuple[Member, dict[str, Array]]:
        own = with_values(config, member.values)
        gan = build.build(own)
        inside = jax.tree.structure(jax.eval_shape(build.initializer(own, gan)))
        old = jax.tree.leaves(member.state)
        state, metrics = train_step(
            jax.tree.unflatten(inside, old), batch, gan=gan, ema_decay=own.ema_decay
        )
        finite = jnp.all(
            jnp.isfinite(
                jnp.stack([x for name, x in metrics.items() if name.endswith(("_loss", "_grad_norm"))])
            )
        )
        going = (member.failed == 0) & finite
        new = [
            now if is_key(now) else jnp.where(going, now, before)
            for now, before in zip(jax.tree.leaves(state), old, strict=True)
        ]
        failed = jnp.where((member.failed == 0) & ~finite, member.state.step + 1, member.failed)
        metrics = {name: jnp.where(going, value, jnp.nan) for name, value in metrics.items()}
        return Member(jax.tree.unflatten(outside, new), member.values, failed), metrics

    return Program(init, step, plain.sample)


def fill(members: PyTree, devices: int) -> PyTree:
    """Adds copies of the last member until so many devices can share all evenly.

    >>> fill(jnp.arange(5), 4).tolist()
    [0, 1, 2, 3, 4, 4, 4, 4]
    """
    count = len(jax.tree.leaves(members)[0])
    if count % devices == 0:
        return members
    places = np.minimum(np.arange(count + -count % devices), count - 1)
    return jax.tree.map(lambda x: x[places], members)
