"""Trains what a config's ``sweep(add)`` asks for, over seeds, as few programs as it takes.

    python -m experiments.sweep --config=NAME.py [--workdir=DIR] [--seeds=16] [--config.field=value ...]

Runs that differ in numbers only are one program. Leaves ``results.csv`` and ``report.html``. Run again, it
continues where it stopped; a run that goes non-finite is reported and left behind.
"""

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
    workdir,
)
from jaxgan import checkpoint, data, parallel
from jaxgan.errors import SetupError, unknown
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
        points.append(Point(labels, population.with_values(config.values, fields)))

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
            found.append(population.with_values(point.config, values))
    return found


class Plan(NamedTuple):
    """A group, ready to be trained.

    Attributes:
      group: its configs.
      program: one member's functions.
      source: its data.
      mesh: the devices that share it.
      init: makes all members.
      step: one member's step on a raw batch.
      metrics: the names of what is logged, scores included.
    """

    group: population.Group
    program: population.Program
    source: data.Source
    mesh: jax.sharding.Mesh
    init: Callable[[], population.Member]
    step: Step
    metrics: tuple[str, ...]


def plan(group: population.Group) -> Plan:
    """Builds a group's program, opens its data and traces a step: what cannot be trained fails here."""
    config = group.config
    program = population.program(config)
    source = data.open_source(**config.data)
    mesh = parallel.device_mesh(jax.devices()[: len(group.indices)])

    def init() -> population.Member:
        values = {name: jnp.asarray(column) for name, column in group.values.items()}
        return jax.vmap(program.init)(values)

    def step(member: population.Member, batch: Batch) -> tuple[population.Member, dict[str, jax.Array]]:
        return program.step(member, source.prepare(batch))

    stream = source.batches(seed=config.data.seed, n_critic=config.n_critic, batch_size=config.batch_size)
    member = jax.eval_shape(program.init, {name: column[0] for name, column in group.values.items()})
    _, metrics = jax.eval_shape(step, member, stream[0])
    problem = source.problem
    scored = [
        name
        for name in scores.MEANINGS
        if problem is not None and (problem.modes is not None or name not in scores.OF_MODES)
    ]
    return Plan(group, program, source, mesh, init, step, (*metrics, *scored))


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


def batches(plan: Plan, start: int, stop: int) -> Any:
    """The raw batches of steps start to stop − 1, on every device."""
    config = plan.group.config
    stream = plan.source.batches(
        seed=config.data.seed, n_critic=config.n_critic, batch_size=config.batch_size
    )
    return (parallel.replicate(batch, plan.mesh) for batch in data.iterate(stream, start, stop))


def place(plan: Plan, members: population.Member) -> population.Member:
    """Gives each device its share of a plan's members, filled up with copies of the last."""
    return parallel.split_members(population.fill(members, plan.mesh.size), plan.mesh)


def own(plan: Plan, values: PyTree) -> PyTree:
    """What of all members' values is no copy's: :func:`place` undone."""
    count = len(plan.group.indices)
    return values if count % plan.mesh.size == 0 else jax.tree.map(lambda x: x[:count], values)


def seconds_a_step(plan: Plan, in_turn: bool) -> float:
    """The least time of a few steps of a group trained at once, or member by member."""
    step = parallel.jit_members(plan.step, plan.mesh, in_turn=in_turn)
    state = place(plan, jax.jit(plan.init)())
    times = []
    for batch in batches(plan, 0, TIMED_STEPS + 1):
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
    if len(plan.source.shape) == 3 and len(plan.group.indices) > 1:
        found = {how: seconds_a_step(plan, how) for how in (False, True)}
        choice = {"in_turn": found[True] < found[False], "at_once": found[False], "one_by_one": found[True]}
    workdir.write_json(path, choice)
    return bool(choice["in_turn"])


def finite(values: Any) -> list[float | None]:
    """Numbers as JSON has them: what is not finite is null."""
    return [float(value) if math.isfinite(value) else None for value in np.asarray(values, float)]


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
    step_fn = parallel.jit_members(plan.step, plan.mesh, in_turn=in_turn)
    measure = scores.measure(plan.program.sample, plan.source, config)
    curves = directory / "curves.jsonl"

    def abstract() -> population.Population:
        return population.Population(jnp.int32(0), plan.init())

    with checkpoint.open_manager(directory / "checkpoints") as manager:
        restored, damaged = checkpoint.restore(manager, jax.eval_shape(abstract))
        for item in damaged:
            path = checkpoint.set_aside(manager, item)
            print(f"checkpoint {item.path} is damaged ({item.reason}): skipped, kept as {path.name}")
        start = int(restored.state.step) if restored else 0
        seconds = restored.info["seconds"] if restored else 0.0
        state = place(plan, restored.state.members if restored else jax.jit(plan.init)())
        workdir.trim_metrics(curves, start)
        step, saved, began = start, start if restored else None, time.monotonic()

        def save() -> None:
            nonlocal saved
            info = {"seconds": seconds + time.monotonic() - began}
            checkpoint.save(manager, population.Population(jnp.int32(step), own(plan, state)), info)
            saved = step

        with curves.open("a") as file:
            try:
                shown, shown_step = began, start
                metrics: dict[str, jax.Array] = {}
                for batch in batches(plan, start, config.num_steps):
                    if signals:
                        break
                    step += 1
                    before = metrics
                    state, metrics = step_fn(state, batch)
                    jax.block_until_ready(before)  # one step ahead, so that devices do not idle
                    last = step == config.num_steps
                    scored = step % config.sample_every == 0 or last
                    if step % config.log_every == 0 or scored:
                        values, failed = jax.device_get(own(plan, (metrics, state.failed)))
                        if scored:
                            # One that failed stands still, and is no point of a curve.
                            found = measure(own(plan, state.state))
                            values |= {x: np.where(failed == 0, y, np.nan) for x, y in found.items()}
                        line = {name: finite(column) for name, column in values.items()}
                        file.write(json.dumps({"step": step, **line}) + "\n")
                        file.flush()
                        now = time.monotonic()
                        rate = (step - shown_step) * count / max(now - shown, 1e-9)
                        shown, shown_step = now, step
                        lost = int(np.count_nonzero(failed))
                        left = f", {lost} of {count} failed" if lost else ""
                        print(
                            f"{title}: step {step}/{config.num_steps}, {rate:,.0f} model-steps/s{left}",
                            flush=True,
                        )
                    if step % config.checkpoint_every == 0 or last:
                        save()
                if step < config.num_steps and step != saved:
                    save()
                manager.wait_until_finished()
            except Exception as error:
                raise cli.RunFailed(
                    f"{title}: step {step}: {type(error).__name__}: {error};"
                    f" last good checkpoint: {loop.last_good(manager)}"
                ) from error
            if step < config.num_steps:
                raise loop.Stopped(signals[0])
        results.write_group(
            directory,
            samples=scores.draw(plan.program.sample, plan.source, config)(own(plan, state.state)),
            failed=np.asarray(own(plan, state.failed)),
            seconds=seconds + time.monotonic() - began,
            in_turn=in_turn,
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
        if name_of_data not in floors and config.data.name in data.PROBLEMS:
            problem = data.make_problem(**config.data)
            real[name_of_data] = scores.held_out(problem, config)
            floors[name_of_data] = scores.floor(problem, config)
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
        build.check(point.config)
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
