"""Plots of a sweep: mean ranks and learning curves."""

import math

import numpy as np

from experiments.pages import page
from experiments.pages.sweep_layout import Layout, values_of
from experiments.scoring import intervals

LOGARITHMIC = ("w1", "sliced_w1", "generator_grad_norm")  # metrics with a logarithmic axis


def ranking(layout: Layout, metric: str) -> page.Plot | None:
    """Plots the mean rank of each row over problems and seeds, with the critical difference.

    Returns:
      The plot, or None if the sweep has fewer than two rows or no column in which all rows are comparable.
    """
    complete = [
        column
        for column in layout.measured(metric)
        if len(layout.problems(column)) == 1 and all((row, column) in layout.cells for row in layout.rows)
    ]
    if len(layout.rows) < 2 or not complete:
        return None
    blocks = np.concatenate(
        [
            np.stack([values_of(layout.cells[row, column].runs, metric) for row in layout.rows], 1)
            for column in complete
        ]
    )
    found = intervals.rank(blocks, metric in layout.highest)
    order = np.argsort(found.mean_ranks)
    figure = page.figure(9, 0.9 + 0.42 * len(order))
    axes = figure.add_subplot()
    for height, i in enumerate(order):
        axes.plot(found.mean_ranks[i], height, "o", color="black")
        axes.annotate(
            f"{layout.rows[i]}  {found.mean_ranks[i]:.2f}",
            (found.mean_ranks[i], height),
            textcoords="offset points",
            xytext=(0, 6),
        )
        reach = found.mean_ranks[i] + found.critical_difference
        axes.plot([found.mean_ranks[i], reach], [height, height], color="0.55", lw=1, zorder=0)
    axes.set(ylim=(len(order) - 0.4, -0.6), yticks=[], xlabel="mean rank, 1 is best")
    axes.set_xlim(0.8, len(order) + 0.8 + found.critical_difference / 2)
    axes.spines[["left", "right", "top"]].set_visible(False)
    caption = (
        f"Mean ranks by {metric} over {len(blocks)} blocks, one per problem and seed. Each bar is as"
        f" long as the critical difference, {found.critical_difference:.2f}: rows whose mean ranks differ"
        f" by less do not differ significantly (Nemenyi test, 5 %). Friedman test: p = {found.p_value:.2g}."
    )
    return page.svg(figure, caption)


def curves(layout: Layout, metric: str) -> page.Plot | None:
    """Plots a metric against the step as means over seeds with 95 % intervals, one panel per column.

    Failed runs are left out of the mean from the step at which they failed.

    Returns:
      The plot, or None if no run measured the metric.
    """
    from matplotlib import colormaps

    columns = layout.measured(metric)
    if not columns:
        return None
    count = len(columns)
    figure = page.figure(min(4.6 * count, 13.5) if count > 1 else 8, 4.2)
    panels = figure.subplots(1, count, squeeze=False)[0]
    colours = colormaps["tab10"](range(10))
    lines = ("-", "--", ":", "-.")
    for axes, column in zip(panels, columns, strict=True):
        for place, row in enumerate(layout.rows):
            cell = layout.cells.get((row, column))
            if cell is None or metric not in cell.runs[0].curves:
                continue
            table = np.array(
                [[math.nan if v is None else v for v in run.curves[metric]] for run in cell.runs], float
            )
            kept = ~np.isnan(table).all(0)
            found = np.array([intervals.interval(c[~np.isnan(c)]) for c in table.T[kept]])
            if not len(found):
                continue
            colour = colours[place % len(colours)]
            at = np.array(cell.runs[0].steps)[kept]
            axes.plot(at, found[:, 0], lines[place // len(colours) % 4], color=colour, label=row)
            axes.fill_between(at, found[:, 1], found[:, 2], color=colour, alpha=0.2, lw=0)
        axes.set(title=column, xlabel="step", ylabel=metric if axes is panels[0] else "")
        if metric in LOGARITHMIC:
            axes.set_yscale("log")
            for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                axis("{x:g}")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return page.svg(
        figure, f"Mean of {metric} over seeds; the band is the 95 % bootstrap interval of the mean."
    )
