"""The HTML page of the scores of a run or of a folder of images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.pages import page
from experiments.scoring import receipts


class ScoreGroup(NamedTuple):
    """Comparable results, as the page shows them.

    Attributes:
      differs: Settings in which the group differs from an earlier one; empty for the first group.
      table: Scores, with one row per result.
      curve: Scores by step, or None if the group does not have several checkpoints.
      by_class: Scores by class, with one row per class, one table per score.
      receipt: Settings that the results share, as JSON.
    """

    differs: list[str]
    table: page.Table
    curve: page.Plot | None
    by_class: list[page.Table]
    receipt: str


def curve(results: Sequence[receipts.Result]) -> page.Plot:
    """Plots the scores of a run's checkpoints by step, with one panel per score."""
    names = receipts.names_of(results)
    figure, places = page.panels(len(names))
    by_step = sorted(
        ((each["receipt"]["scored"]["step"], each["scores"]) for each in results), key=lambda pair: pair[0]
    )
    for axes, name in zip(places, names, strict=True):
        points = [
            (step, scores[name], receipts.spread_of(scores, name) or 0)
            for step, scores in by_step
            if name in scores
        ]
        steps, values, spreads = zip(*points, strict=True)
        axes.errorbar(
            steps, values, spreads if any(spreads) else None, fmt="o-", capsize=3, color="tab:blue"
        )
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    return page.svg(figure, "Scores of the run's checkpoints, by step.")


def _group(differs: list[str], members: Sequence[receipts.Result]) -> ScoreGroup:
    names = receipts.names_of(members)
    rows = [
        page.row(each["name"], *(receipts.cell(each["scores"], name) for name in names)) for each in members
    ]
    checkpoints = [each for each in members if "step" in each["receipt"]["scored"]]
    steps = {each["receipt"]["scored"]["step"] for each in checkpoints}
    receipt = {name: value for name, value in members[0]["receipt"].items() if name != "scored"}
    return ScoreGroup(
        differs,
        page.Table(["", *names], rows),
        curve(checkpoints) if len(steps) > 1 else None,
        [
            page.Table(table.head, [page.row(*cells) for cells in table.rows])
            for table in receipts.class_tables(members)
        ],
        json.dumps(receipt, indent=1, ensure_ascii=False),
    )


def write_page(path: Path, results: Sequence[receipts.Result]) -> None:
    """Writes a page with a table and a curve for each group of comparable results.

    Args:
      path: Path of the file to write.
      results: Results, as :func:`experiments.scoring.receipts.read` returns them.
    """
    groups = [_group(differs, members) for differs, members in receipts.tables(results)]
    page.write(path, "scores.html", title=f"Scores of {path.resolve().parent.name}", groups=groups)
