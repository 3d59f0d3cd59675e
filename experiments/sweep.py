"""Trains all points of a sweep over several seeds, with as few compiled programs as possible.

    python -m experiments.sweep --config=study_objectives.py:quick [--workdir=DIR] [--seeds=16]
        [--config.FIELD=VALUE ...]

The config file defines the points in a function sweep(add). Each point is trained with --seeds seeds. Runs
that differ only in numbers, such as rates and seeds, are trained together as one program. The work
directory receives results.csv, with one line per run, and report.html, a page that compares the points.

The same command continues a sweep that was stopped. A run whose loss or gradient is no longer finite stops
training and is reported; the other runs continue.
"""

import os
import shlex
from pathlib import Path

import jax
from absl import flags

from experiments.cli import command_line, config_files, exits, interrupts
from experiments.pages import sweep_report
from experiments.scoring import member_scores
from experiments.training import (
    start,
    sweep_checks,
    sweep_group,
    sweep_plan,
    sweep_points,
    sweep_results,
    workdir,
)
from jaxgan import host


def main(argv: list[str]) -> None:
    """Plans the groups of a sweep, trains each of them and writes the results."""
    if not os.environ.get("XLA_FLAGS") and jax.config.values["jax_num_cpu_devices"] < 0:
        # With one device per core, members on different cores do not wait for each other.
        jax.config.update("jax_num_cpu_devices", host.count_cores())
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "Folder of results; sweeps/CONFIG by default.", flag_values=values)
    flags.DEFINE_integer("seeds", 16, "Number of runs of each point.", flag_values=values)
    config = config_files.read_config(argv, values, __doc__ or "")
    command_line.check_at_least(values, "seeds", 1)
    directory = Path(values.workdir or f"sweeps/{config.name}")

    points = sweep_points.expand(config, member_scores.MEANINGS)
    whole = start.sweep_config(points, values.seeds)
    workdir.check_owner(directory, whole)
    plans = sweep_plan.plan_all(points, values.seeds, member_scores.SCORING)
    logged = {name for plan in plans for name in plan.metrics}
    shown = sweep_checks.curves_of(points[0].config, logged)
    directory.mkdir(parents=True, exist_ok=True)
    workdir.write_json(directory / "config.json", workdir.as_json(whole))
    print(
        f"{len(points)} points, {values.seeds} seeds: {len(points) * values.seeds} runs in"
        f" {len(plans)} programs",
        flush=True,
    )
    with interrupts.catch_signals() as signals:
        for i, plan in enumerate(plans):
            folder = directory / "groups" / str(i)
            if not (folder / sweep_results.DONE).exists():
                sweep_group.train(plan, folder, f"program {i + 1} of {len(plans)}", signals)
    identities = [
        (point.labels, point.config.seed + i, sweep_points.problem_of(point.config))
        for point in points
        for i in range(values.seeds)
    ]
    runs = sweep_results.read(directory, [plan.group.indices for plan in plans], identities)
    sweep_results.write_csv(directory / "results.csv", runs)
    sweep_report.write_report(directory, config.name, points, plans, runs, shown, shlex.join(argv[1:]))
    print(f"finished {directory}: results.csv, report.html")


if __name__ == "__main__":
    exits.call(main)
