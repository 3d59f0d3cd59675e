"""Tables of statistics over the seeds of a sweep."""

import math
from collections.abc import Mapping

import numpy as np

from experiments.pages import page
from experiments.pages.sweep_layout import Cell, Layout, text_of, values_of
from experiments.scoring import intervals
from experiments.training.sweep_results import Run

REFERENCE = "none"  # the other rows are compared with a row of this name if the sweep has one
ABSENT = "–"


def number(value: float) -> str:
    """Formats a number to three significant digits; NaN becomes a dash."""
    return ABSENT if math.isnan(value) else f"{value:.3g}"


def span(interval: intervals.Interval) -> str:
    """Formats the ends of an interval."""
    return f"{number(interval.low)} to {number(interval.high)}"


def _best_row(layout: Layout, column: str, metric: str) -> str | None:
    """Returns the row with the best mean in a column, or None if all runs of the column failed."""
    sign = -1.0 if metric in layout.highest else 1.0
    means = {
        row: sign * np.nanmean(values)
        for row in layout.rows
        if (row, column) in layout.cells
        and not np.isnan(values := values_of(layout.cells[row, column].runs, metric)).all()
    }
    return min(means, key=means.__getitem__) if means else None


def _difference(cell: Cell, other: Cell, metric: str) -> str:
    """Formats the mean difference between two cells, paired by seed, with its interval."""
    values, others = values_of(cell.runs, metric), values_of(other.runs, metric)
    both = ~np.isnan(values) & ~np.isnan(others)
    gap = intervals.interval((values - others)[both])
    return f"Δ {gap.mean:+.3g} ({gap.low:+.3g} to {gap.high:+.3g})"


def score_table(layout: Layout, metric: str, floors: Mapping[str, Mapping[str, float]]) -> page.Table:
    """Tabulates means with their intervals and the paired differences from a reference row.

    The reference is the row ``none`` if the sweep has one, and otherwise the best row of the column. In a
    column with several problems no differences are shown, and each cell notes the score of real points.

    Args:
      layout: Arranged runs.
      metric: Score to tabulate.
      floors: Scores of real points, by problem.
    """
    columns = layout.measured(metric)
    alike = [column for column in columns if len(layout.problems(column)) == 1]
    best = {column: _best_row(layout, column, metric) for column in alike}

    def entry(row: str, column: str) -> page.Entry:
        cell = layout.cells.get((row, column))
        if cell is None or not any(metric in run.curves for run in cell.runs):
            return page.Entry(ABSENT)
        values = values_of(cell.runs, metric)
        alive = values[~np.isnan(values)]
        mean = intervals.interval(alive)
        notes = [span(mean)]
        leader = against = best.get(column)
        if column in alike and (REFERENCE, column) in layout.cells:
            against = REFERENCE
        if against is not None and row != against:
            notes.append(_difference(cell, layout.cells[against, column], metric))
        notes += [f"{name} {text_of(value)}" for name, value in cell.tuned.items()]
        if column not in alike and metric in (floor := floors.get(cell.problem, {})):
            notes.append(f"real points {number(floor[metric])}")
        if failed := len(values) - len(alive):
            notes.append(f"{failed} of {len(values)} failed")
        return page.Entry(number(mean.mean), notes, best=row == leader)

    rows = [page.Row(row, [entry(row, column) for column in columns]) for row in layout.rows]
    reached = {c: floors.get(layout.problems(c)[0], {}).get(metric, math.nan) for c in alike}
    if not all(map(math.isnan, reached.values())):
        real = [page.Entry(number(reached.get(column, math.nan))) for column in columns]
        rows.append(page.Row("real points", real, reference=True))
    return page.Table([layout.row, *(column or metric for column in columns)], rows)


def correlation(run: Run, metric: str) -> float:
    """Computes Spearman's rank correlation between the critic's loss and a metric within a run.

    Returns:
      The correlation, or NaN if either is constant or fewer than three pairs were measured.
    """
    from scipy import stats

    if metric not in run.curves or "critic_loss" not in run.curves:
        return math.nan
    pairs = [
        pair for pair in zip(run.curves["critic_loss"], run.curves[metric], strict=True) if None not in pair
    ]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return math.nan
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def signal_table(layout: Layout, metric: str) -> page.Table:
    """Tabulates the mean over seeds of the correlation between the critic's loss and a metric."""

    def entry(row: str, column: str) -> page.Entry:
        cell = layout.cells.get((row, column))
        found = [correlation(run, metric) for run in cell.runs] if cell else []
        mean = intervals.interval([value for value in found if not math.isnan(value)])
        return page.Entry(number(mean.mean), [span(mean)])

    rows = [page.Row(row, [entry(row, column) for column in layout.columns]) for row in layout.rows]
    return page.Table([layout.row, *(column or "correlation" for column in layout.columns)], rows)
