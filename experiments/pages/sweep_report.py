"""The report of a finished sweep."""

import html
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.pages import page, sample_pictures, sweep_page
from experiments.scoring import member_scores
from experiments.training import derived, sweep_group, sweep_points, sweep_results, workdir
from jaxgan import data

PyTree = Any


def write_report(
    directory: Path,
    name: str,
    points: Sequence[sweep_points.Point],
    plans: Sequence[sweep_group.Plan],
    runs: Sequence[sweep_results.Run],
    shown: Sequence[str],
    command: str,
) -> None:
    """Writes ``report.html``."""
    real, floors = {}, {}
    for point in points:
        config, name_of_data = sweep_points.members([point], 1)[0], sweep_points.problem_of(point.config)
        if name_of_data in real:
            continue
        if config.data.name in data.PROBLEMS:
            problem = data.make_problem(**config.data)
            real[name_of_data] = member_scores.held_out(problem, config)
            floors[name_of_data] = member_scores.floor(problem, config)
        elif not derived.spec_of(config).images:
            real[name_of_data] = sample_pictures.real_points(data.open_source(**config.data), config)
    lines, total = [], 0.0
    for i, each in enumerate(plans):
        done = workdir.read_json(directory / "groups" / str(i) / sweep_results.DONE)
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
