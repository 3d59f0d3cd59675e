"""Runs that differ in numbers only, trained as one program."""

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


def traceable(config: ConfigDict) -> set[str]:
    """Returns the names of a config's numbers that only enter arithmetic, which a population may trace.

    They are the seed, and the floats that a function's signature declares as traced. A weight of 0 leaves
    its penalty out of the program, and is part of the program's shape.
    """
    taking: dict[str, Callable[..., Any]] = {"gan": factories.factory_of(config)}
    for name in config.get("augment", {}):
        taking[f"augment.{name}"] = named_parts.AUGMENTATIONS[name]
    if "pool" in config:
        taking["pool"] = named_parts.POOLS[config.pool.name]
    for name in config.get("remedies", {}):
        taking[f"remedies.{name}"] = named_parts.remedy_of(name)
    names = {"seed", "ema_decay"}
    for section, function in taking.items():
        names |= {f"{section}.{name}" for name, kind in hyper.kinds(function).items() if kind.traced}
    found = set()
    for name, value in flatten(config).items():
        section = name.rpartition(".")[0]
        penalty = section.startswith("penalties.") and section.count(".") == 1 and value != 0
        optimizer = section.startswith("optimizers.") and section.count(".") == 1
        if name == "seed" or (
            isinstance(value, float) and value != 0 and (name in names or penalty or optimizer)
        ):
            found.add(name)
    return found


class Member(flax.struct.PyTreeNode):
    """One run; in a population every array has an axis of members before its own.

    Attributes:
      state: the game's. One that failed stays as it was before the step it failed in, but for its clocks.
      values: by field, the numbers it does not share with the others.
      failed: int32, the step whose loss or gradient was not finite, 0 for none.
    """

    state: GANState
    values: dict[str, Array]
    failed: Array


class Population(flax.struct.PyTreeNode):
    """What a checkpoint of a population holds.

    Attributes:
      step: steps done, int32.
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


def group(configs: Sequence[ConfigDict]) -> list[Group]:
    """Puts configs together that differ in traceable numbers only, in the order they first appear in."""
    found: dict[tuple[Any, ...], list[int]] = {}
    flat = [flatten(config) for config in configs]
    traced = [traceable(config) for config in configs]
    for i, fields in enumerate(flat):
        shape = tuple(
            (name, None if name in traced[i] else repr(value)) for name, value in sorted(fields.items())
        )
        found.setdefault(shape, []).append(i)
    groups = []
    for indices in found.values():
        values = {}
        for name in flat[indices[0]]:
            column = [flat[i][name] for i in indices]
            if name == "seed" or (name in traced[indices[0]] and len(set(column)) > 1):
                values[name] = np.asarray(column, np.uint32 if name == "seed" else np.float32)
        groups.append(Group(configs[indices[0]], values, tuple(indices)))
    return groups


class Functions(NamedTuple):
    """One member's functions, for a population to map.

    Attributes:
      init: ``init(values)``, the member at the start.
      step: ``step(member, batch) -> (member, metrics)``, a step of ``train_step`` on a prepared batch; if
        it comes to a loss or gradient that is not finite, the member stays as it was for good, but for its
        clocks, and its metrics are NaN.
      gan: the system with the first member's numbers: for what is the same in all of them.
      gan_of: ``gan_of(member)``, its system with its own numbers, and its state, traceable.
    """

    init: Callable[[Mapping[str, Array]], Member]
    step: Callable[[Member, Batch], tuple[Member, dict[str, Array]]]
    gan: GAN
    gan_of: Callable[[Member], tuple[GAN, GANState]]


def functions(stage: staging.StageConfig, source: data.Source) -> Functions:
    """Returns the functions of the members that a config stands for.

    Args:
      stage: of a group's config, the only one or one of several.
      source: its data.
    """

    config = stage.config
    stream = source.batches(
        seed=derived.data_seed(config), n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )
    raw = stream[0]  # all members share their batches, and a source reads them outside of any trace

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
            # All members share their clocks, whether they go on or not; keys never change.
            return now if is_key(now) or parallel.is_clock(path) else jnp.where(going, now, before)

        failed = jnp.where((member.failed == 0) & ~finite, old.step + 1, member.failed)
        metrics = {name: jnp.where(going, value, jnp.nan) for name, value in metrics.items()}
        kept = jax.tree_util.tree_map_with_path(keep, state, old)
        return Member(kept, member.values, failed), metrics

    def gan_of(member: Member) -> tuple[GAN, GANState]:
        return build.build(stage.with_values(member.values)), member.state

    return Functions(init, step, build.build(config), gan_of)


def pad_members(members: PyTree, devices: int) -> PyTree:
    """Adds copies of the last member until so many devices can share all evenly.

    >>> pad_members(jnp.arange(5), 4).tolist()
    [0, 1, 2, 3, 4, 4, 4, 4]
    """
    count = len(jax.tree.leaves(members)[0])
    if count % devices == 0:
        return members
    places = np.minimum(np.arange(count + -count % devices), count - 1)
    return jax.tree.map(lambda x: x[places], members)
