"""Arrangement of the runs of a sweep in rows and columns that can be compared."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.scoring import member_scores
from experiments.training.sweep_results import Run


class Cell(NamedTuple):
    """The runs of one row in one column.

    Attributes:
      runs: The runs to show, one per seed.
      tuned: Settings of ``runs``, by label, which have the best mean score.
      others: Runs with any other settings, by a description of the settings.
    """

    runs: list[Run]
    tuned: dict[str, Any]
    others: dict[str, list[Run]]

    @property
    def problem(self) -> str:
        """The problem on which the runs were trained."""
        return self.runs[0].problem


class Layout(NamedTuple):
    """The rows and columns of a sweep.

    Attributes:
      row: Label whose values are compared.
      column: Label whose values are the columns, or None for a single column.
      cells: Cells by (row, column).
      rows: Names of the rows, in the order of the sweep.
      columns: Names of the columns, in the order of the sweep; ``[""]`` for a single column.
      highest: Names of the scores for which higher is better.
    """

    row: str
    column: str | None
    cells: dict[tuple[str, str], Cell]
    rows: list[str]
    columns: list[str]
    highest: frozenset[str]

    def problems(self, column: str) -> list[str]:
        """Returns the problems of the cells in a column; rows are comparable only if there is one."""
        return list(dict.fromkeys(cell.problem for (_, x), cell in self.cells.items() if x == column))

    def measured(self, metric: str) -> list[str]:
        """Returns the columns in which a metric was measured; a spiral, for example, has no modes."""
        return [
            column
            for column in self.columns
            if any(
                value is not None
                for row in self.rows
                if (row, column) in self.cells
                for run in self.cells[row, column].runs
                for value in run.curves.get(metric, [])
            )
        ]


def values_of(runs: Sequence[Run], name: str) -> np.ndarray:
    """Returns the final value of a metric for each run; NaN where a run failed or lacks the metric."""
    return np.array([math.nan if run.last(name) is None else run.last(name) for run in runs], float)


def meanings_of(runs: Sequence[Run]) -> dict[str, tuple[bool, str]]:
    """Returns whether higher is better and the meaning, for each score of the runs by name."""
    known = dict(member_scores.MEANINGS)
    for run in runs:
        known |= run.meanings
    return {name: meaning for name, meaning in known.items() if any(name in run.curves for run in runs)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """Formats the value of a label."""
    return f"{value:g}" if _is_number(value) else str(value)


def arrange(runs: Sequence[Run], metric: str) -> Layout:
    """Arranges runs by their labels.

    The first label with values that are not all numbers gives the rows, and the second such label gives the
    columns. Each cell shows the runs with the best mean over the values of all remaining labels. If all
    labels are numbers, every point of the sweep is a row.

    Args:
      runs: All runs of a sweep.
      metric: Score that decides which mean is best; a group with fewer failed runs is always better.
    """
    labels = runs[0].labels
    highest = frozenset(name for name, (more, _) in meanings_of(runs).items() if more)
    names = [name for name in labels if not all(_is_number(run.labels[name]) for run in runs)]
    row = names[0] if names else ", ".join(labels)
    column = names[1] if len(names) > 1 else None
    tuned = [name for name in labels if names and name not in names[:2]]

    def place(run: Run) -> tuple[str, str]:
        first = run.labels[row] if names else ", ".join(map(text_of, run.labels.values()))
        return str(first), str(run.labels[column]) if column else ""

    found: dict[tuple[str, str], dict[tuple[str, ...], list[Run]]] = {}
    for run in runs:
        settings = tuple(text_of(run.labels[name]) for name in tuned)
        found.setdefault(place(run), {}).setdefault(settings, []).append(run)

    def cost(group: list[Run]) -> tuple[int, float]:
        values = values_of(group, metric)
        alive = values[~np.isnan(values)]
        mean = float(alive.mean()) if len(alive) else math.inf
        return int(np.isnan(values).sum()), -mean if metric in highest else mean

    cells = {}
    for key, by_settings in found.items():
        best = min(by_settings.values(), key=cost)
        others = {
            ", ".join(f"{name} {value}" for name, value in zip(tuned, settings, strict=True)): group
            for settings, group in by_settings.items()
            if group is not best
        }
        cells[key] = Cell(best, {name: best[0].labels[name] for name in tuned}, others)
    rows = list(dict.fromkeys(key[0] for key in cells))
    columns = list(dict.fromkeys(key[1] for key in cells))
    return Layout(row, column, cells, rows, columns, highest)
