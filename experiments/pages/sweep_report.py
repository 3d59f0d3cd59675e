"""The report of a finished sweep."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.pages import page, sample_pictures, sweep_page
from experiments.scoring import member_scores
from experiments.training import derived, sweep_plan, sweep_points, sweep_results, workdir
from jaxgan import data

HEAD = ("program", "runs", "steps per run", "time", "training steps per second, all runs")


def _real_points(
    points: Sequence[sweep_points.Point],
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Returns real points and their scores, by problem; problems of images are absent."""
    real: dict[str, Any] = {}
    floors: dict[str, dict[str, float]] = {}
    for point in points:
        config, problem = sweep_points.members([point], 1)[0], sweep_points.problem_of(point.config)
        if problem in real:
            continue
        if config.data.name in data.PROBLEMS:
            opened = data.make_problem(**config.data)
            real[problem] = member_scores.held_out(opened, config)
            floors[problem] = member_scores.floor(opened, config)
        elif not derived.spec_of(config).images:
            real[problem] = sample_pictures.real_points(data.open_source(**config.data), config)
    return real, floors


def _costs(
    directory: Path, points: Sequence[sweep_points.Point], plans: Sequence[sweep_plan.Plan], count: int
) -> page.Table:
    """Tabulates the training time of each program of a sweep of ``count`` runs."""
    rows, total = [], 0.0
    for i, plan in enumerate(plans):
        done = workdir.read_json(directory / "groups" / str(i) / sweep_results.DONE)
        config, members, seconds = plan.group.config, done["members"], done["seconds"]
        rate = members * config.num_steps / max(seconds, 1e-9)
        total += seconds
        first = points[plan.group.indices[0] // (count // len(points))]
        labels = ", ".join(str(value) for value in first.labels.values())
        rows.append(
            page.row(
                f"{i + 1}: {labels}, ...",
                f"{members} {'one after another' if done['in_turn'] else 'in parallel'}",
                f"{config.num_steps:,}",
                f"{seconds:,.0f} s",
                f"{rate:,.0f}",
            )
        )
    rows.append(page.row("all", str(count), "", f"{total:,.0f} s", ""))
    return page.Table(HEAD, rows)


def write_report(
    directory: Path,
    name: str,
    points: Sequence[sweep_points.Point],
    plans: Sequence[sweep_plan.Plan],
    runs: Sequence[sweep_results.Run],
    shown: Sequence[str],
    command: str,
) -> None:
    """Writes ``report.html`` into the work directory of a finished sweep.

    Args:
      directory: Work directory of the sweep.
      name: Name of the config, which becomes the headline.
      points: Points of the sweep.
      plans: Programs that trained the runs.
      runs: All runs, in the order of the points.
      shown: Names of further logged metrics whose curves are drawn.
      command: Arguments of ``experiments.sweep``, as a shell takes them.
    """
    real, floors = _real_points(points)
    versions = ", ".join(f"{x} {importlib.metadata.version(x)}" for x in ("jaxgan", "jax", "flax", "optax"))
    devices = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
    sweep_page.write(
        directory / "report.html",
        title=name,
        runs=runs,
        real=real,
        floors=floors,
        shown=shown,
        costs=_costs(directory, points, plans, len(runs)),
        about=f"python -m experiments.sweep {command}\n{versions}; {devices}",
    )
