"""Populations: runs that differ only in numbers, trained as one program."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten
from experiments.training import build, derived, factories, named_parts, staging
from jaxgan import data, hyper, parallel
from jaxgan.state import GANState, is_key
from jaxgan.steps import GAN, WATCHED, Batch, train_step, with_conditions

Array = jax.Array
PyTree = Any


def traceable_fields(config: ConfigDict) -> set[str]:
    """Returns the fields of a config that a population may trace, because they only enter arithmetic.

    These are the seed, the floats of penalties and optimisers, and the floats that the signature of a
    function declares as traced, except floats of 0: a weight of 0 leaves its penalty out, which makes
    another program.

    Args:
      config: Config of a run.

    Returns:
      The dotted names of the fields.
    """
    functions: dict[str, Callable[..., Any]] = {"gan": factories.factory_of(config)}
    for name in config.get("augment", {}):
        functions[f"augment.{name}"] = named_parts.AUGMENTATIONS[name]
    if "pool" in config:
        functions["pool"] = named_parts.POOLS[config.pool.name]
    for name in config.get("remedies", {}):
        functions[f"remedies.{name}"] = named_parts.remedy_of(name)
    declared = {"ema_decay"}
    for section, function in functions.items():
        declared |= {f"{section}.{name}" for name, kind in hyper.kinds(function).items() if kind.traced}

    def is_traceable(name: str, value: Any) -> bool:
        section = name.rpartition(".")[0]
        # All floats of penalties and optimisers are traceable, but not those of schedules within them.
        is_own = section.startswith(("penalties.", "optimizers.")) and section.count(".") == 1
        return isinstance(value, float) and value != 0 and (name in declared or is_own)

    return {name for name, value in flatten(config).items() if name == "seed" or is_traceable(name, value)}


class Member(flax.struct.PyTreeNode):
    """One run. In a population, every array has a leading axis of members.

    Attributes:
      state: State of the system. The state of a member that failed stays as it was before the step in which
        the member failed, except for its clocks.
      values: Numbers in which members differ, by dotted names of fields.
      failed: int32 step whose loss or gradient was not finite; 0 if there is none.
    """

    state: GANState
    values: dict[str, Array]
    failed: Array


class Population(flax.struct.PyTreeNode):
    """Contents of a checkpoint of a population.

    Attributes:
      step: int32 number of steps done.
      members: All members.
    """

    step: Array
    members: Member


class Group(NamedTuple):
    """Configs that share a program.

    Attributes:
      config: Config of the first member.
      values: (P,) numbers in which the configs differ, by dotted names of fields. The seed is always among
        them.
      indices: Index of each config in the sequence that was grouped.
    """

    config: ConfigDict
    values: dict[str, np.ndarray]
    indices: tuple[int, ...]


def group_configs(configs: Sequence[ConfigDict]) -> list[Group]:
    """Groups configs that differ only in traceable numbers.

    Args:
      configs: Configs of runs.

    Returns:
      The groups, in the order in which the first config of each appears.
    """
    flat = [flatten(config) for config in configs]
    traced = [traceable_fields(config) for config in configs]
    indices_by_program: dict[tuple[Any, ...], list[int]] = {}
    for i, fields in enumerate(flat):
        program = tuple(
            (name, None if name in traced[i] else repr(value)) for name, value in sorted(fields.items())
        )
        indices_by_program.setdefault(program, []).append(i)
    groups = []
    for indices in indices_by_program.values():
        values = {}
        for name in flat[indices[0]]:
            column = [flat[i][name] for i in indices]
            if name == "seed" or (name in traced[indices[0]] and len(set(column)) > 1):
                values[name] = np.asarray(column, np.uint32 if name == "seed" else np.float32)
        groups.append(Group(configs[indices[0]], values, tuple(indices)))
    return groups


class MemberFunctions(NamedTuple):
    """Functions of one member, which a population maps over its members.

    Attributes:
      init: ``init(values)``, initialises the member.
      step: ``step(member, batch) -> (member, metrics)``, a step of ``train_step`` on a prepared batch. Once
        a loss or gradient of the member is not finite, its state stays as it was, except for its clocks,
        and its metrics are NaN.
      gan: System with the numbers of the first member, for properties that all members share.
      gan_of: ``gan_of(member)``, returns the system with the member's numbers, and its state; traceable.
    """

    init: Callable[[Mapping[str, Array]], Member]
    step: Callable[[Member, Batch], tuple[Member, dict[str, Array]]]
    gan: GAN
    gan_of: Callable[[Member], tuple[GAN, GANState]]


def member_functions(stage: staging.StageConfig, source: data.Source) -> MemberFunctions:
    """Returns the functions of one member of a group.

    Args:
      stage: Stage of the group's config.
      source: Open data of the stage.
    """

    config = stage.config
    # Members share their batches. The source is read here, because it cannot be read inside a trace.
    raw = derived.batch_stream(config, source)[0]

    def init(values: Mapping[str, Array]) -> Member:
        own = stage.with_values(values)
        state = build.build(own).init(jax.random.key(own.seed), source.prepare(raw))
        return Member(state, dict(values), jnp.int32(0))

    def step(member: Member, batch: Batch) -> tuple[Member, dict[str, Array]]:
        own, old = stage.with_values(member.values), member.state
        state, metrics = train_step(
            old,
            with_conditions(batch, old, source.conditions),
            gan=build.build(own),
            ema_decay=derived.ema_decay(own),
            n_critic=own.n_critic,
            accumulate=own.get("accumulate", 1),
        )
        finite = jnp.all(jnp.isfinite(jnp.stack([metrics[x] for x in WATCHED if x in metrics])))
        going = (member.failed == 0) & finite

        def keep(path: tuple[Any, ...], now: Array, before: Array) -> Array:
            # Clocks are the same for all members, including those that failed, and keys never change.
            return now if is_key(now) or parallel.is_clock(path) else jnp.where(going, now, before)

        failed = jnp.where((member.failed == 0) & ~finite, old.step + 1, member.failed)
        metrics = {name: jnp.where(going, value, jnp.nan) for name, value in metrics.items()}
        kept = jax.tree_util.tree_map_with_path(keep, state, old)
        return Member(kept, member.values, failed), metrics

    def gan_of(member: Member) -> tuple[GAN, GANState]:
        return build.build(stage.with_values(member.values)), member.state

    return MemberFunctions(init, step, build.build(config), gan_of)


def pad_members(members: PyTree, devices: int) -> PyTree:
    """Appends copies of the last member until the number of members is a multiple of ``devices``.

    >>> pad_members(jnp.arange(5), 4).tolist()
    [0, 1, 2, 3, 4, 4, 4, 4]
    """
    count = len(jax.tree.leaves(members)[0])
    if count % devices == 0:
        return members
    places = np.minimum(np.arange(count + -count % devices), count - 1)
    return jax.tree.map(lambda x: x[places], members)
