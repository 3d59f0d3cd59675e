"""Trains what a config's ``sweep(add)`` asks for, over seeds, as few programs as it takes.

    python -m experiments.sweep --config=NAME.py [--workdir=DIR] [--seeds=16] [--config.field=value ...]

Runs that differ in numbers only are one program. Leaves ``results.csv`` and ``report.html``. Run again, it
continues where it stopped; a run that goes non-finite is reported and left behind.
"""

import functools
import html
import importlib.metadata
import json
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from ml_collections import ConfigDict

from experiments import (
    build,
    cli,
    compilations,
    loop,
    page,
    population,
    results,
    scores,
    sweep_page,
    training,
    workdir,
)
from jaxgan import checkpoint, data, parallel
from jaxgan.errors import SetupError, unknown
from jaxgan.stages import CARRIES, Stage, stage_of
from jaxgan.steps import Batch

PyTree = Any
Step = Callable[[population.Member, Batch], tuple[population.Member, dict[str, jax.Array]]]

TIMED_STEPS = 3


class Point(NamedTuple):
    """What a sweep adds.

    Attributes:
      labels: what the results call it, by column.
      config: the whole of it.
    """

    labels: dict[str, Any]
    config: ConfigDict


def _fits(value: Any, old: Any) -> bool:
    kinds = (
        (int, float) if isinstance(old, float) else (list, tuple) if isinstance(old, tuple) else type(old)
    )
    return old is None or (isinstance(value, kinds) and isinstance(value, bool) == isinstance(old, bool))


def check_labels(labels: Iterable[str], taken: Collection[str]) -> None:
    """Refuses labels that the results call something else.

    Raises:
      SetupError: the message names the label.
    """
    for name in labels:
        if name in taken:
            raise SetupError(f"the sweep has a label {name}, a column of results.csv: give it another name")


def expand(config: cli.Config) -> list[Point]:
    """The points of a config's ``sweep(add)``; without one, the config alone.

    ``add(fields, **labels)`` takes values by dotted names, whole sections too, and what the results are to
    call them, the fields' own names if nothing is given.

    Raises:
      SetupError: a field does not exist or has a value of another kind, a label is a column of the results'
        own, or no point is added, or one twice, by its labels or by its config.
    """
    points: list[Point] = []

    def add(fields: Mapping[str, Any], **labels: Any) -> None:
        known = cli.flatten(config.values)
        for name in fields:
            # An optimiser, a model or a problem may have fields that the config's own has not.
            section, dot, _ = name.rpartition(".")
            starts = (f"{name}.", f"{section}.") if dot else (f"{name}.",)
            optional = name.split(".")[0] in build.OPTIONAL
            if name not in known and not optional and not any(x.startswith(starts) for x in known):
                raise unknown("sweep field", name, known)
            if name in known and not _fits(fields[name], known[name]):
                raise SetupError(
                    f"sweep field {name} is {fields[name]!r}: give a {type(known[name]).__name__}, as"
                    f" {known[name]!r}"
                )
        labels = labels or dict(fields)
        check_labels(labels, (*results.COLUMNS, *scores.MEANINGS))
        if any(point.labels == labels for point in points):
            raise SetupError(f"the sweep adds {labels} twice: give the second other labels")
        if points and list(labels) != list(points[0].labels):
            raise SetupError(
                f"the sweep labels {list(points[0].labels)}, then {list(labels)}: give all the same"
            )
        points.append(Point(labels, cli.with_values(config.values, fields)))

    if config.sweep is None:
        add({}, config=config.name)
    else:
        try:
            config.sweep(add)
        except SetupError:
            raise
        except Exception as error:
            raise SetupError(f"the sweep of {config.name}: {type(error).__name__}: {error}") from error
    if not points:
        raise SetupError(f"the sweep of {config.name} adds nothing: call add({{field: value}}) in it")
    seen: dict[str, Point] = {}
    for point in points:
        same = seen.setdefault(repr(sorted(cli.flatten(point.config).items())), point)
        if same is not point:
            raise SetupError(
                f"the sweep's points {same.labels} and {point.labels} are one config: leave one out"
            )
    return points


def members(points: Sequence[Point], seeds: int) -> list[ConfigDict]:
    """A config a point and seed; seeds count on from the config's own, batches are the same for all.

    Raises:
      SetupError: they would count past the last seed there is.
    """
    found = []
    for point in points:
        if point.config.seed + seeds > 2**32:
            raise SetupError(
                f"--seeds is {seeds}: from config field seed {point.config.seed} on there are"
                f" {2**32 - point.config.seed}"
            )
        data_seed = build.data_seed(point.config)
        for i in range(seeds):
            values = {"seed": point.config.seed + i, "data.seed": data_seed}
            found.append(cli.with_values(point.config, values))
    return found


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


class Plan(NamedTuple):
    """A group, ready to be trained.

    Attributes:
      group: its configs.
      parts: its stages.
      mesh: the devices that share its members.
      metrics: the names of what is logged, scores included.
    """

    group: population.Group
    parts: tuple[Part, ...]
    mesh: jax.sharding.Mesh
    metrics: tuple[str, ...]


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


def plan(group: population.Group) -> Plan:
    """Builds a group's program, opens its data and traces a step: what cannot be trained fails here."""
    stages = build.stage_configs(group.config)
    training.check_carries(stages, [build.build(stage.config) for stage in stages])
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
    scored = scores.meanings(parts[-1].functions.gan, parts[-1].source)
    return Plan(group, tuple(parts), mesh, (*names, *scored))


def plan_all(points: Sequence[Point], seeds: int) -> list[Plan]:
    """The groups of all points, each ready to be trained.

    Raises:
      SetupError: one cannot be, which the message has the labels of, or a label is what one logs.
    """
    plans = []
    for group in population.group(members(points, seeds)):
        try:
            plans.append(plan(group))
        except Exception as error:  # whatever a model, an optimiser or a source makes of its fields
            labels = points[group.indices[0] // seeds].labels
            what = error if isinstance(error, SetupError) else f"{type(error).__name__}: {error}"
            raise SetupError(f"the sweep's point {labels} cannot be trained: {what}") from error
        check_labels(points[0].labels, plans[-1].metrics)
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
                    measures[number] = scores.measure(
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
    results.write_group(
        directory,
        samples=scores.draw(last.functions.gan, last.source, last.config, last.functions.gan_of)(
            own(plan, trained.state)
        ),
        failed=np.asarray(own(plan, trained.state.failed)),
        seconds=trained.seconds,
        in_turn=in_turn,
        meanings=scores.meanings(last.functions.gan, last.source),
    )


def problem_of(config: ConfigDict) -> str:
    """What a config trains on, as text: its data's fields, whatever the seed."""
    return repr(sorted((name, value) for name, value in cli.flatten(config.data).items() if name != "seed"))


def write_report(
    directory: Path,
    name: str,
    points: Sequence[Point],
    plans: Sequence[Plan],
    runs: Sequence[results.Run],
    shown: Sequence[str],
    command: str,
) -> None:
    """Writes ``report.html``."""
    real, floors = {}, {}
    for point in points:
        config, name_of_data = members([point], 1)[0], problem_of(point.config)
        if name_of_data in real:
            continue
        if config.data.name in data.PROBLEMS:
            problem = data.make_problem(**config.data)
            real[name_of_data] = scores.held_out(problem, config)
            floors[name_of_data] = scores.floor(problem, config)
        elif not build.spec_of(config).images:
            real[name_of_data] = training.real_points(data.open_source(**config.data), config)
    lines, total = [], 0.0
    for i, each in enumerate(plans):
        done = workdir.read_json(directory / "groups" / str(i) / results.DONE)
        config, count = each.group.config, done["members"]
        rate = count * config.num_steps / max(done["seconds"], 1e-9)
        total += done["seconds"]
        how = "one by one" if done["in_turn"] else "at once"
        what = ", ".join(
            str(x) for x in points[each.group.indices[0] // (len(runs) // len(points))].labels.values()
        )
        lines.append(
            f"<tr><td>{i + 1}: {html.escape(what)}, ...</td><td>{count} {how}</td>"
            f"<td>{config.num_steps:,}</td><td>{done['seconds']:,.0f} s</td><td>{rate:,.0f}</td></tr>"
        )
    lines.append(f"<tr><td>all</td><td>{len(runs)}</td><td></td><td>{total:,.0f} s</td><td></td></tr>")
    versions = ", ".join(f"{x} {importlib.metadata.version(x)}" for x in ("jaxgan", "jax", "flax", "optax"))
    devices = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    sweep_page.write(
        directory / "report.html",
        title=name,
        runs=runs,
        real=real,
        floors=floors,
        shown=shown,
        costs=page.table(["program", "runs", "steps", "time", "model-steps/s"], lines),
        about=f"python -m experiments.sweep {command}\n{versions}; {devices}",
    )


def main(argv: list[str]) -> None:
    """Config → points → groups → programs → files."""
    if not os.environ.get("XLA_FLAGS") and jax.config.values["jax_num_cpu_devices"] < 0:
        # A device a core: members need not wait for each other (64 small ones 19 ms a step instead of 27).
        jax.config.update("jax_num_cpu_devices", compilations.count_cores())
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Where the sweep's files go; sweeps/<config> if not given.", flag_values=values
    )
    flags.DEFINE_integer("seeds", 16, "Runs of each point.", flag_values=values)
    config = cli.read_config(argv, values, __doc__ or "")
    if values.seeds < 1:
        raise SetupError(f"--seeds is {values.seeds}: give at least 1")
    directory = Path(values.workdir or f"sweeps/{config.name}")

    points = expand(config)
    for point in points:
        build.check_all(point.config)
        if point.config.get("parallel", "jit") == "pmap":
            raise SetupError("config field parallel is 'pmap': a sweep maps its members itself, give jit")
    asked = {
        "seeds": values.seeds,
        "points": {
            str(i): {"labels": point.labels, "config": point.config} for i, point in enumerate(points)
        },
    }
    whole = ConfigDict(asked)
    workdir.check_owner(directory, whole)
    plans = plan_all(points, values.seeds)
    shown = curves_of(points[0].config, plans)
    directory.mkdir(parents=True, exist_ok=True)
    workdir.write_json(directory / "config.json", workdir.as_json(whole))
    print(
        f"{len(points)} points, {values.seeds} seeds: {len(points) * values.seeds} runs in"
        f" {len(plans)} programs",
        flush=True,
    )
    try:
        with loop.catch_signals() as signals:
            for i, each in enumerate(plans):
                folder = directory / "groups" / str(i)
                if not (folder / results.DONE).exists():
                    train(each, folder, f"program {i + 1} of {len(plans)}", signals)
    except loop.Stopped as stopped:
        print(f"stopped by {signal.Signals(stopped.signum).name}, checkpoint saved", file=sys.stderr)
        sys.exit(128 + stopped.signum)
    identities = [
        (point.labels, point.config.seed + i, problem_of(point.config))
        for point in points
        for i in range(values.seeds)
    ]
    runs = results.read(directory, [each.group.indices for each in plans], identities)
    results.write_csv(directory / "results.csv", runs)
    write_report(directory, config.name, points, plans, runs, shown, shlex.join(argv[1:]))
    print(f"finished {directory}: results.csv, report.html")


if __name__ == "__main__":
    cli.call(main)
