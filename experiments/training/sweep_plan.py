"""Plans of a sweep: runs grouped by the program that they share, built and checked before training."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments.training import build, derived, population, staging, sweep_checks, sweep_points
from jaxgan import data, parallel
from jaxgan.errors import SetupError
from jaxgan.steps import Batch

PyTree = Any

Step = Callable[[population.Member, Batch], tuple[population.Member, dict[str, jax.Array]]]


class Part(NamedTuple):
    """A stage of a group, built, with its data open.

    Attributes:
      until: Last step of the stage.
      config: Config of the stage.
      functions: Functions of one member.
      source: Open data.
      carry: Name of the function that carries each member's state over from the previous stage; empty for
        the first stage.
    """

    until: int
    config: ConfigDict
    functions: population.MemberFunctions
    source: data.Source
    carry: str


class Scoring(NamedTuple):
    """Functions that score and draw the members of a group.

    Attributes:
      meanings: ``meanings(gan, source)``, returns by score whether more is better, and a description.
      measure: ``measure(gan, source, config, gan_of)``, returns a function of all members to their scores.
      draw: ``draw(gan, source, config, gan_of)``, returns a function of all members to their samples.
    """

    meanings: Callable[..., dict[str, tuple[bool, str]]]
    measure: Callable[..., Callable[[PyTree], dict[str, np.ndarray]]]
    draw: Callable[..., Callable[[PyTree], PyTree]]


class Plan(NamedTuple):
    """A group that is ready to be trained.

    Attributes:
      group: Configs of the members.
      parts: Stages of the group.
      mesh: Devices that share the members.
      metrics: Names of all values that are logged, including scores.
      scoring: Functions that score and draw the members.
    """

    group: population.Group
    parts: tuple[Part, ...]
    mesh: jax.sharding.Mesh
    metrics: tuple[str, ...]
    scoring: Scoring


def plan_all(points: Sequence[sweep_points.Point], seeds: int, scoring: Scoring) -> list[Plan]:
    """Groups the runs of all points by program and plans each group.

    Args:
      points: Points of the sweep.
      seeds: Number of runs of each point.
      scoring: Functions that score and draw the members of a group.

    Raises:
      SetupError: A point cannot be trained, or a label has the name of a value that is logged.
    """
    plans = []
    for group in population.group_configs(sweep_points.members(points, seeds)):
        try:
            plans.append(plan_group(group, scoring))
        except Exception as error:  # Models, optimisers and sources raise errors of many types.
            labels = points[group.indices[0] // seeds].labels
            reason = error if isinstance(error, SetupError) else f"{type(error).__name__}: {error}"
            raise SetupError(f"the sweep's point {labels} cannot be trained: {reason}") from error
        sweep_checks.check_columns(points[0].labels, plans[-1].metrics)
    return plans


def plan_group(group: population.Group, scoring: Scoring) -> Plan:
    """Builds the program of a group, opens its data, and traces a step to find configs that cannot train.

    Args:
      group: Configs that share a program.
      scoring: Functions that score and draw the members.
    """
    stages = staging.stage_configs(group.config)
    build.check_carries(stages, [build.build(stage.config) for stage in stages])
    parts = []
    for stage in stages:
        source = data.open_source(**stage.config.data)
        functions = population.member_functions(stage, source)
        parts.append(Part(stage.until, stage.config, functions, source, stage.carry))
    mesh = parallel.device_mesh(jax.devices()[: len(group.indices)], axis=parallel.MEMBERS_AXIS)
    values = {name: column[0] for name, column in group.values.items()}
    names: list[str] = []
    for part in parts:
        member = jax.eval_shape(part.functions.init, values)
        batch = derived.batch_stream(part.config, part.source)[0]
        _, metrics = jax.eval_shape(member_step(part), member, batch)
        names += [name for name in metrics if name not in names]
    scores = scoring.meanings(parts[-1].functions.gan, parts[-1].source)
    return Plan(group, tuple(parts), mesh, (*names, *scores), scoring)


def member_step(part: Part) -> Step:
    """Returns the function that trains one member for a step on a raw batch of a stage."""

    def step(member: population.Member, batch: Batch) -> tuple[population.Member, dict[str, jax.Array]]:
        return part.functions.step(member, part.source.prepare(batch))

    return step
