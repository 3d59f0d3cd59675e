"""Training of a group of a sweep, whose runs share one program."""

import functools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.training import derived, loop, population, sample_classes, sweep_results, workdir
from experiments.training.sweep_plan import Part, Plan, member_step
from jaxgan import checkpoint, data, parallel
from jaxgan.stages import CARRIES, Stage, stage_of

PyTree = Any

TIMED_STEPS = 3


def init_members(plan: Plan, part: Part) -> population.Population:
    """Initialises all members of a group for a stage."""
    values = {name: jnp.asarray(column) for name, column in plan.group.values.items()}
    return population.Population(jnp.int32(0), jax.vmap(part.functions.init)(values))


def replicated_batches(plan: Plan, part: Part, start: int, stop: int) -> Iterator[Any]:
    """Yields the raw batches of steps start to stop − 1 of a stage, each copied to every device."""
    stream = derived.batch_stream(part.config, part.source)
    return (parallel.replicate(batch, plan.mesh) for batch in data.iterate(stream, start, stop))


def place_members(plan: Plan, whole: population.Population) -> population.Member:
    """Pads the members to equally many for every device, and splits them over the devices."""
    return parallel.split_members(population.pad_members(whole.members, plan.mesh.size), plan.mesh)


def drop_padding(plan: Plan, values: PyTree) -> PyTree:
    """Drops the values of the members that :func:`place_members` added."""
    count = len(plan.group.indices)
    return values if count % plan.mesh.size == 0 else jax.tree.map(lambda x: x[:count], values)


def seconds_per_step(plan: Plan, in_turn: bool) -> float:
    """Returns the shortest time of a few training steps of a group.

    Args:
      plan: Plan of the group.
      in_turn: Whether members are trained one after another instead of all at once.
    """
    part = plan.parts[0]
    step = parallel.jit_members(member_step(part), plan.mesh, in_turn=in_turn)
    state = place_members(plan, jax.jit(lambda: init_members(plan, part))())
    times = []
    for batch in replicated_batches(plan, part, 0, TIMED_STEPS + 1):
        began = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready(metrics)
        times.append(time.perf_counter() - began)
    return min(times[1:])  # The first step includes the compilation.


def choose_order(plan: Plan, path: Path) -> bool:
    """Returns whether members are trained one after another instead of all at once.

    For images, the faster order is measured. The order affects the bits of the results, so the choice is
    made once and kept in a file.

    Args:
      plan: Plan of the group.
      path: Path of the file that keeps the choice.
    """
    if path.exists():
        return bool(workdir.read_json(path)["in_turn"])
    choice: dict[str, Any] = {"in_turn": False}
    if plan.parts[0].source.spec.images and len(plan.group.indices) > 1:
        at_once, one_by_one = (seconds_per_step(plan, in_turn) for in_turn in (False, True))
        choice = {"in_turn": one_by_one < at_once, "at_once": at_once, "one_by_one": one_by_one}
    workdir.write_json(path, choice)
    return bool(choice["in_turn"])


def _as_json(values: Any) -> list[float | None]:
    """Converts numbers to floats for JSON, and those that are not finite to None."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values, float)]


def compile_stage(plan: Plan, part: Part, in_turn: bool) -> Stage:
    """Compiles a stage of a group for the training loop."""
    step = parallel.jit_members(member_step(part), plan.mesh, in_turn=in_turn)

    def carry_member(old: population.Member, fresh: population.Member) -> population.Member:
        # ``failed`` and ``values`` stay, so that members that failed are carried over as well.
        return old.replace(state=CARRIES[part.carry](old.state, fresh.state))

    def carry(old: population.Population, fresh: population.Population) -> population.Population:
        return population.Population(old.step, jax.jit(jax.vmap(carry_member))(old.members, fresh.members))

    return Stage(
        part.until,
        lambda: jax.jit(lambda: init_members(plan, part))(),
        carry if part.carry else None,
        step,
        functools.partial(replicated_batches, plan, part),
    )


def train(plan: Plan, directory: Path, title: str, signals: Sequence[int]) -> None:
    """Trains a group from its newest checkpoint to its last step, and writes its results.

    Args:
      plan: Plan of the group.
      directory: Folder of the group.
      title: Name of the group in messages.
      signals: Signals received so far. When there is one, the state is saved and training stops.

    Raises:
      RunFailed: Training cannot continue. The message names the step and the last good checkpoint.
      Stopped: A signal was received, and the state has been saved.
    """
    config, count = plan.group.config, len(plan.group.indices)
    directory.mkdir(parents=True, exist_ok=True)
    in_turn = choose_order(plan, directory / "choice.json")
    untils = [part.until for part in plan.parts]
    curves = directory / "curves.jsonl"
    measures: dict[int, Any] = {}

    def abstract_at(step: int) -> population.Population:
        part = plan.parts[stage_of(untils, min(step, untils[-1]))]
        return jax.eval_shape(lambda: init_members(plan, part))

    def collect(step: int, state: population.Member) -> population.Population:
        return population.Population(jnp.int32(step), drop_padding(plan, state))

    def is_scored(step: int) -> bool:
        return step % config.sample_every == 0 or step == untils[-1]

    def scores_of(step: int, members: population.Member) -> dict[str, np.ndarray]:
        number = stage_of(untils, step)
        part = plan.parts[number]
        if number not in measures:
            functions = part.functions
            measures[number] = plan.scoring.measure(
                functions.gan, part.source, part.config, functions.gan_of
            )
        return measures[number](members)

    with checkpoint.open_manager(directory / "checkpoints") as manager, ExitStack() as stack:
        restored = loop.restore(manager, abstract_at)
        start = int(restored.state.step) if restored else 0
        seconds = restored.info["seconds"] if restored else 0.0
        workdir.trim_metrics(curves, start)
        file = stack.enter_context(curves.open("a"))
        shown, shown_step = time.monotonic(), start

        def log(step: int, state: population.Member, metrics: Mapping[str, Any]) -> None:
            nonlocal shown, shown_step
            values, failed = drop_padding(plan, (dict(metrics), jax.device_get(state.failed)))
            if is_scored(step):
                # The state of a member that failed no longer changes, and its scores belong to no step.
                for name, scores in scores_of(step, drop_padding(plan, state)).items():
                    values[name] = np.where(failed == 0, scores, np.nan)
            file.write(json.dumps({"step": step, **{x: _as_json(y) for x, y in values.items()}}) + "\n")
            file.flush()
            now = time.monotonic()
            rate = (step - shown_step) * count / max(now - shown, 1e-9)
            shown, shown_step = now, step
            lost = int(np.count_nonzero(failed))
            left = f", {lost} of {count} failed" if lost else ""
            print(f"{title}: step {step}/{untils[-1]}, {rate:,.0f} model-steps/s{left}", flush=True)

        program = loop.Program(
            stages=[compile_stage(plan, part, in_turn) for part in plan.parts],
            place=functools.partial(place_members, plan),
            collect=collect,
            check=lambda step, metrics: None,  # The other members continue when one fails.
            events=[loop.Event(lambda step: step % config.log_every == 0 or is_scored(step), log)],
            checkpoint_every=config.checkpoint_every,
            info=lambda seconds: {"seconds": seconds},
        )
        state = place_members(plan, restored.state if restored else program.stages[0].init())
        trained = loop.train(
            program, manager, restored, state, signals, seconds=seconds, title=f"{title}: "
        )
    last = plan.parts[-1]
    gan, members = last.functions.gan, drop_padding(plan, trained.state)
    by_class = sample_classes.of_system(gan, last.source.spec)
    sweep_results.write_group(
        directory,
        samples=plan.scoring.draw(gan, last.source, last.config, last.functions.gan_of)(members),
        failed=np.asarray(members.failed),
        seconds=trained.seconds,
        in_turn=in_turn,
        meanings=plan.scoring.meanings(gan, last.source),
        class_names=by_class.names if by_class else (),
    )
