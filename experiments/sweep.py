"""Trains what a config's ``sweep(add)`` asks for, over seeds, as few programs as it takes.

    python -m experiments.sweep --config=NAME.py [--workdir=DIR] [--seeds=16] [--config.field=value ...]

Runs that differ in numbers only are one program. Leaves ``results.csv`` and ``report.html``. Run again, it
continues where it stopped; a run that goes non-finite is reported and left behind.
"""

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict

from experiments.cli import config_files, exits, interrupts
from experiments.pages import sweep_report
from experiments.scoring import member_scores
from experiments.training import checks, sweep_group, sweep_points, sweep_results, workdir
from jaxgan import host
from jaxgan.errors import SetupError

PyTree = Any


def main(argv: list[str]) -> None:
    """Config → points → groups → programs → files."""
    if not os.environ.get("XLA_FLAGS") and jax.config.values["jax_num_cpu_devices"] < 0:
        # A device a core: members need not wait for each other (64 small ones 19 ms a step instead of 27).
        jax.config.update("jax_num_cpu_devices", host.count_cores())
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "Where the sweep's files go; sweeps/<config> if not given.", flag_values=values
    )
    flags.DEFINE_integer("seeds", 16, "Runs of each point.", flag_values=values)
    config = config_files.read_config(argv, values, __doc__ or "")
    if values.seeds < 1:
        raise SetupError(f"--seeds is {values.seeds}: give at least 1")
    directory = Path(values.workdir or f"sweeps/{config.name}")

    points = sweep_points.expand(config, member_scores.MEANINGS)
    for point in points:
        checks.check_all(point.config)
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
    plans = sweep_group.plan_all(points, values.seeds, member_scores.SCORING)
    shown = sweep_group.curves_of(points[0].config, plans)
    directory.mkdir(parents=True, exist_ok=True)
    workdir.write_json(directory / "config.json", workdir.as_json(whole))
    print(
        f"{len(points)} points, {values.seeds} seeds: {len(points) * values.seeds} runs in"
        f" {len(plans)} programs",
        flush=True,
    )
    try:
        with interrupts.catch_signals() as signals:
            for i, each in enumerate(plans):
                folder = directory / "groups" / str(i)
                if not (folder / sweep_results.DONE).exists():
                    sweep_group.train(each, folder, f"program {i + 1} of {len(plans)}", signals)
    except interrupts.Stopped as stopped:
        print(f"stopped by {signal.Signals(stopped.signum).name}, checkpoint saved", file=sys.stderr)
        sys.exit(128 + stopped.signum)
    identities = [
        (point.labels, point.config.seed + i, sweep_points.problem_of(point.config))
        for point in points
        for i in range(values.seeds)
    ]
    runs = sweep_results.read(directory, [each.group.indices for each in plans], identities)
    sweep_results.write_csv(directory / "results.csv", runs)
    sweep_report.write_report(directory, config.name, points, plans, runs, shown, shlex.join(argv[1:]))
    print(f"finished {directory}: results.csv, report.html")


if __name__ == "__main__":
    exits.call(main)
