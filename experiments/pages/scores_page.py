"""The HTML page of the scores of a run or of a folder of images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.pages import page
from experiments.scoring import receipts

# Pairs of scores that are drawn against each other over truncations: horizontal and vertical axis.
TRADES = (("recall", "precision"), ("is", "fid"), ("classifier_score", "fcd"))


class ScoreGroup(NamedTuple):
    """Comparable results, as the page shows them.

    Attributes:
      differs: Settings in which the group differs from an earlier one; empty for the first group.
      table: Scores, with one row per result.
      curve: Scores by step, or trade-offs over truncations; None if the group has neither.
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


def trade_offs(results: Sequence[receipts.Result]) -> page.Plot | None:
    """Plots precision against recall and distance against quality, with one point per truncation.

    Args:
      results: Results of several truncations. Each checkpoint has a line of its own.

    Returns:
      The plot, or None if no result has both scores of a pair in :data:`TRADES`.
    """
    names = [pair for pair in TRADES if any(set(pair) <= set(each["scores"]) for each in results)]
    if not names:
        return None
    figure, places = page.panels(len(names))
    steps = sorted({each["receipt"]["scored"]["step"] for each in results})
    for axes, (x, y) in zip(places, names, strict=True):
        for step in steps:
            line = sorted(
                (each["receipt"]["scored"]["truncation"], each["scores"][x], each["scores"][y])
                for each in results
                if each["receipt"]["scored"]["step"] == step and {x, y} <= set(each["scores"])
            )
            axes.plot([point[1] for point in line], [point[2] for point in line], "o-", label=f"{step:,}")
            for truncation, *place in line:
                axes.annotate(f"{truncation:g}", place, xytext=(4, 4), textcoords="offset points", size=8)
        axes.set(xlabel=x, ylabel=y)
        axes.grid(alpha=0.3)
        if len(steps) > 1:
            axes.legend(title="step")
    return page.svg(figure, "Scores at each truncation, which is the number beside each point.")


def _group(differs: list[str], members: Sequence[receipts.Result]) -> ScoreGroup:
    names = receipts.names_of(members)
    rows = [
        page.row(each["name"], *(receipts.cell(each["scores"], name) for name in names)) for each in members
    ]
    checkpoints = [each for each in members if "step" in each["receipt"]["scored"]]
    steps = {each["receipt"]["scored"]["step"] for each in checkpoints}
    plot = None
    if any("truncation" in each["receipt"]["scored"] for each in checkpoints):
        plot = trade_offs(checkpoints)
    elif len(steps) > 1:
        plot = curve(checkpoints)
    receipt = {name: value for name, value in members[0]["receipt"].items() if name != "scored"}
    return ScoreGroup(
        differs,
        page.Table(["", *names], rows),
        plot,
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
