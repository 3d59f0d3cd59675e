"""The HTML page of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.pages import page, sweep_layout, sweep_plots, sweep_samples, sweep_tables
from experiments.training.sweep_results import Run

MIN_SIGNAL = 10  # measurements that a correlation needs in order to be shown
LOSSES = ("critic_loss", "generator_loss")  # metrics to show in a sweep without scores


class Section(NamedTuple):
    """A metric, as the page shows it.

    Attributes:
      metric: Name of the metric.
      meaning: Sentence that explains the metric.
      table: Values of the metric, by row and column of the sweep.
    """

    metric: str
    meaning: str
    table: page.Table


def _meaning(meanings: Mapping[str, tuple[bool, str]], metric: str) -> str:
    if metric not in meanings:
        return "As logged. Losses of different objectives are not comparable."
    higher, text = meanings[metric]
    return f"{text[:1].upper()}{text[1:]}; {'higher' if higher else 'lower'} is better."


def write(
    path: Path,
    *,
    title: str,
    runs: Sequence[Run],
    real: Mapping[str, Any],
    floors: Mapping[str, Mapping[str, float]],
    shown: Sequence[str],
    costs: page.Table,
    about: str,
) -> None:
    """Writes the page of a sweep.

    Args:
      path: Path of the file to write.
      title: Headline of the page.
      runs: All runs of the sweep.
      real: Real points by problem; problems of images are absent.
      floors: Scores of real points, by problem.
      shown: Names of further logged metrics whose curves are drawn.
      costs: Table of the training time of each program.
      about: Command and versions that made the sweep, as plain text.
    """
    meanings = sweep_layout.meanings_of(runs)
    metrics = list(meanings) or list(LOSSES)
    first = metrics[0]
    layout = sweep_layout.arrange(runs, first)
    measured = max(sum(value is not None for value in run.curves.get(first, ())) for run in runs)
    has_signal = meanings and measured >= MIN_SIGNAL and any("critic_loss" in run.curves for run in runs)
    curves = [sweep_plots.curves(layout, metric) for metric in (first, *shown)]
    page.write(
        path,
        "sweep.html",
        title=title,
        about=about,
        num_runs=len(runs),
        num_failed=sum(run.failed > 0 for run in runs),
        sections=[
            Section(metric, _meaning(meanings, metric), sweep_tables.score_table(layout, metric, floors))
            for metric in metrics
        ],
        ranking=sweep_plots.ranking(layout, first) if meanings else None,
        curves=[curve for curve in curves if curve],
        signal=sweep_tables.signal_table(layout, first) if has_signal else None,
        num_measured=measured,
        panels=sweep_samples.panels(layout, real),
        costs=costs,
    )
