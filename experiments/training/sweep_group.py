"""A group of a sweep: runs that share one program, planned and trained."""

import functools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.training import (
    build,
    loop,
    population,
    staging,
    sweep_points,
    sweep_results,
    workdir,
)
from jaxgan import checkpoint, data, parallel
from jaxgan.errors import SetupError, unknown
from jaxgan.stages import CARRIES, Stage, stage_of
from jaxgan.steps import Batch

PyTree = Any

Step = Callable[[population.Member, Batch], tuple[population.Member, dict[str, jax.Array]]]
TIMED_STEPS = 3


class Part(NamedTuple):
    """A stage of a group, built and opened.

    Attributes:
      until: its last step.
      config: its own, with the group's seed of the data.
      functions: one member's.
      source: its data.
      carry: the name of the function that carries each member's state over from the stage before.
    """

    until: int
    config: ConfigDict
    functions: population.Functions
    source: data.Source
    carry: str


class Scoring(NamedTuple):
    """How the members of a group are scored and drawn.

    Attributes:
      meanings: ``meanings(gan, source)``, for each score by name whether more is better, and what
        the score is.
      measure: ``measure(gan, source, config, gan_of)``, a function of all members to their scores by name.
      draw: ``draw(gan, source, config, gan_of)``, a function of all members to their samples.
    """

    meanings: Callable[..., dict[str, tuple[bool, str]]]
    measure: Callable[..., Callable[[PyTree], dict[str, np.ndarray]]]
    draw: Callable[..., Callable[[PyTree], PyTree]]


class Plan(NamedTuple):
    """A group, ready to be trained.

    Attributes:
      group: its configs.
      parts: its stages.
      mesh: the devices that share its members.
      metrics: the names of what is logged, scores included.
      scoring: How the members are scored and drawn.
    """

    group: population.Group
    parts: tuple[Part, ...]
    mesh: jax.sharding.Mesh
    metrics: tuple[str, ...]
    scoring: Scoring


def init(plan: Plan, part: Part) -> population.Population:
    """Makes all members of a group at the start of a stage."""
    values = {name: jnp.asarray(column) for name, column in plan.group.values.items()}
    return population.Population(jnp.int32(0), jax.vmap(part.functions.init)(values))


def step_of(part: Part) -> Step:
    """Returns one member's step on a raw batch of a stage's source."""

    def step(member: population.Member, batch: Batch) -> tuple[population.Member, dict[str, jax.Array]]:
        return part.functions.step(member, part.source.prepare(batch))

    return step


def stream(part: Part) -> Any:
    """Returns a stage's raw batches, by their steps."""
    config = part.config
    return part.source.batches(
        seed=config.data.seed, n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )


def plan(group: population.Group, scoring: Scoring) -> Plan:
    """Builds a group's program, opens its data and traces a step: what cannot be trained fails here."""
    stages = staging.stage_configs(group.config)
    build.check_carries(stages, [build.build(stage.config) for stage in stages])
    parts = []
    for stage in stages:
        source = data.open_source(**stage.config.data)
        functions = population.functions(stage, source)
        parts.append(Part(stage.until, stage.config, functions, source, stage.carry))
    mesh = parallel.device_mesh(jax.devices()[: len(group.indices)], axis=parallel.MEMBERS_AXIS)
    values = {name: column[0] for name, column in group.values.items()}
    names: list[str] = []
    for part in parts:
        member = jax.eval_shape(part.functions.init, values)
        _, metrics = jax.eval_shape(step_of(part), member, stream(part)[0])
        names += [name for name in metrics if name not in names]
    scored = scoring.meanings(parts[-1].functions.gan, parts[-1].source)
    return Plan(group, tuple(parts), mesh, (*names, *scored), scoring)


def plan_all(points: Sequence[sweep_points.Point], seeds: int, scoring: Scoring) -> list[Plan]:
    """The groups of all points, each ready to be trained.

    Raises:
      SetupError: one cannot be, which the message has the labels of, or a label is what one logs.
    """
    plans = []
    for group in population.group(sweep_points.members(points, seeds)):
        try:
            plans.append(plan(group, scoring))
        except Exception as error:  # whatever a model, an optimiser or a source makes of its fields
            labels = points[group.indices[0] // seeds].labels
            what = error if isinstance(error, SetupError) else f"{type(error).__name__}: {error}"
            raise SetupError(f"the sweep's point {labels} cannot be trained: {what}") from error
        sweep_points.check_labels(points[0].labels, plans[-1].metrics)
    return plans


def curves_of(config: ConfigDict, plans: Sequence[Plan]) -> Sequence[str]:
    """What else a config wants curves of.

    Raises:
      SetupError: no run logs one of them.
    """
    shown, known = config.get("curves", ()), {name for each in plans for name in each.metrics}
    if isinstance(shown, str) or not isinstance(shown, Sequence):
        raise SetupError(f"config field curves is {shown!r}: give a tuple of names, such as ('sliced_w1',)")
    for name in shown:
        if name not in known:
            raise unknown("name in config field curves", name, known)
    return shown


def batches(plan: Plan, part: Part, start: int, stop: int) -> Any:
    """Yields the raw batches of steps start to stop − 1 of a stage, on every device."""
    return (parallel.replicate(batch, plan.mesh) for batch in data.iterate(stream(part), start, stop))


def place(plan: Plan, whole: population.Population) -> population.Member:
    """Gives each device its share of a plan's members, padded with copies of the last."""
    return parallel.split_members(population.pad_members(whole.members, plan.mesh.size), plan.mesh)


def own(plan: Plan, values: PyTree) -> PyTree:
    """Drops the padding added by :func:`place`."""
    count = len(plan.group.indices)
    return values if count % plan.mesh.size == 0 else jax.tree.map(lambda x: x[:count], values)


def seconds_a_step(plan: Plan, in_turn: bool) -> float:
    """Measures the least time of a few first steps of a group trained at once, or member by member."""
    part = plan.parts[0]
    step = parallel.jit_members(step_of(part), plan.mesh, in_turn=in_turn)
    state = place(plan, jax.jit(lambda: init(plan, part))())
    times = []
    for batch in batches(plan, part, 0, TIMED_STEPS + 1):
        began = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - began)
    return min(times[1:])  # the first compiles


def choose(plan: Plan, path: Path) -> bool:
    """Whether members take turns: measured where there are convolutions, once, for it settles the bits."""
    if path.exists():
        return bool(workdir.read_json(path)["in_turn"])
    choice: dict[str, Any] = {"in_turn": False}
    if plan.parts[0].source.spec.images and len(plan.group.indices) > 1:
        found = {how: seconds_a_step(plan, how) for how in (False, True)}
        choice = {"in_turn": found[True] < found[False], "at_once": found[False], "one_by_one": found[True]}
    workdir.write_json(path, choice)
    return bool(choice["in_turn"])


def finite(values: Any) -> list[float | None]:
    """Numbers as JSON has them: what is not finite is null."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values, float)]


def stage(plan: Plan, part: Part, in_turn: bool) -> Stage:
    """Compiles a stage of a group for the loop."""
    step = parallel.jit_members(step_of(part), plan.mesh, in_turn=in_turn)

    def carry(old: population.Population, fresh: population.Population) -> population.Population:
        def one(old: population.Member, fresh: population.Member) -> population.Member:
            # One that failed is carried as it is.
            return old.replace(state=CARRIES[part.carry](old.state, fresh.state))

        return population.Population(old.step, jax.jit(jax.vmap(one))(old.members, fresh.members))

    return Stage(
        part.until,
        lambda: jax.jit(lambda: init(plan, part))(),
        carry if part.carry else None,
        step,
        functools.partial(batches, plan, part),
    )


def train(plan: Plan, directory: Path, title: str, signals: Sequence[int]) -> None:
    """Trains a group from where it stands to its end, and writes what it came to.

    Args:
      plan: the group's.
      directory: its own.
      title: what it is called on the way.
      signals: those received; at the first it saves and stops.

    Raises:
      RunFailed: it cannot go on; the message names the step and the last good checkpoint.
      Stopped: by a signal; its state is saved.
    """
    config, count = plan.group.config, len(plan.group.indices)
    directory.mkdir(parents=True, exist_ok=True)
    in_turn = choose(plan, directory / "choice.json")
    untils = [part.until for part in plan.parts]
    curves = directory / "curves.jsonl"
    measures: dict[int, Any] = {}

    def abstract_at(step: int) -> population.Population:
        part = plan.parts[stage_of(untils, min(step, untils[-1]))]
        return jax.eval_shape(lambda: init(plan, part))

    def collect(step: int, state: population.Member) -> population.Population:
        return population.Population(jnp.int32(step), own(plan, state))

    def scored(step: int) -> bool:
        return step % config.sample_every == 0 or step == untils[-1]

    with checkpoint.open_manager(directory / "checkpoints") as manager, ExitStack() as stack:
        restored = loop.restore(manager, abstract_at)
        start = int(restored.state.step) if restored else 0
        seconds = restored.info["seconds"] if restored else 0.0
        workdir.trim_metrics(curves, start)
        file = stack.enter_context(curves.open("a"))
        shown, shown_step = time.monotonic(), start

        def log(step: int, state: population.Member, metrics: Mapping[str, Any]) -> None:
            nonlocal shown, shown_step
            values, failed = own(plan, (dict(metrics), jax.device_get(state.failed)))
            if scored(step):
                number = stage_of(untils, step)
                part = plan.parts[number]
                if number not in measures:
                    measures[number] = plan.scoring.measure(
                        part.functions.gan, part.source, part.config, part.functions.gan_of
                    )
                # One that failed stands still, and is no point of a curve.
                found = measures[number](own(plan, state))
                values |= {x: np.where(failed == 0, y, np.nan) for x, y in found.items()}
            file.write(json.dumps({"step": step, **{x: finite(y) for x, y in values.items()}}) + "\n")
            file.flush()
            now = time.monotonic()
            rate = (step - shown_step) * count / max(now - shown, 1e-9)
            shown, shown_step = now, step
            lost = int(np.count_nonzero(failed))
            left = f", {lost} of {count} failed" if lost else ""
            print(f"{title}: step {step}/{untils[-1]}, {rate:,.0f} model-steps/s{left}", flush=True)

        program = loop.Program(
            stages=[stage(plan, part, in_turn) for part in plan.parts],
            place=functools.partial(place, plan),
            collect=collect,
            check=lambda step, metrics: None,  # a member that fails is left behind, and the others go on
            events=[loop.Event(lambda step: step % config.log_every == 0 or scored(step), log)],
            checkpoint_every=config.checkpoint_every,
            info=lambda seconds: {"seconds": seconds},
        )
        state = place(plan, restored.state if restored else program.stages[0].init())
        trained = loop.train(
            program, manager, restored, state, signals, seconds=seconds, title=f"{title}: "
        )
    last = plan.parts[-1]
    sweep_results.write_group(
        directory,
        samples=plan.scoring.draw(last.functions.gan, last.source, last.config, last.functions.gan_of)(
            own(plan, trained.state)
        ),
        failed=np.asarray(own(plan, trained.state.failed)),
        seconds=trained.seconds,
        in_turn=in_turn,
        meanings=plan.scoring.meanings(last.functions.gan, last.source),
    )
