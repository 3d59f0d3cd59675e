"""A sweep's page: one HTML file that needs no other, for the screen and for paper."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.pages import page, pictures
from experiments.scoring import intervals, member_scores
from experiments.training import sampling
from experiments.training.sweep_results import Run

MAX_PANELS = 32  # of a row of the scatter grid
MAX_FOLDED = 4_000_000  # characters of the pictures of what was not chosen, so that a page stays a few MB
MIN_SIGNAL = 10  # points of a curve, for a correlation to be worth showing
REFERENCE = "none"  # a row of that name is what the others are held against


class Cell(NamedTuple):
    """All seeds of one row (what is compared) in one column (what on).

    Attributes:
      runs: one a seed.
      tuned: by label, what was chosen for it because its mean is best.
      others: by what else could have been chosen, the runs of that.
    """

    runs: list[Run]
    tuned: dict[str, Any]
    others: dict[str, list[Run]]

    @property
    def problem(self) -> str:
        """What its runs were trained on."""
        return self.runs[0].problem


class Layout(NamedTuple):
    """How points become rows and columns.

    Attributes:
      row: the label that is compared.
      column: the label it is compared on, None if there is no second one.
      cells: by (row, column).
      rows: in the order of the sweep.
      columns: likewise, ``""`` alone if there is no second label.
      highest: the scores of which more is better.
    """

    row: str
    column: str | None
    cells: dict[tuple[str, str], Cell]
    rows: list[str]
    columns: list[str]
    highest: frozenset[str]

    def problems(self, column: str) -> list[str]:
        """What the cells of a column were trained on; more than one, and its rows do not compare."""
        return list(dict.fromkeys(cell.problem for (_, x), cell in self.cells.items() if x == column))


def values_of(runs: Sequence[Run], name: str) -> np.ndarray:
    """Last values of a metric, one a run; NaN where a run failed or has none."""
    return np.array([math.nan if run.last(name) is None else run.last(name) for run in runs], float)


def meanings_of(runs: Sequence[Run]) -> dict[str, tuple[bool, str]]:
    """Returns the scores that runs have, by name: whether more is better, and what each is."""
    known = dict(member_scores.MEANINGS)
    for run in runs:
        known |= run.meanings
    return {name: meaning for name, meaning in known.items() if any(name in run.curves for run in runs)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:g}" if _is_number(value) else str(value)


def arrange(runs: Sequence[Run], metric: str) -> Layout:
    """Rows by the first label that is a name, columns by the second; over the rest the best mean is taken.

    With no names every point is a row.
    """
    labels = runs[0].labels
    highest = frozenset(name for name, (more, _) in meanings_of(runs).items() if more)
    names = [name for name in labels if not all(_is_number(run.labels[name]) for run in runs)]
    row = names[0] if names else ", ".join(labels)
    column = names[1] if len(names) > 1 else None
    tuned = [name for name in labels if names and name not in names[:2]]

    def place(run: Run) -> tuple[str, str]:
        first = run.labels[row] if names else ", ".join(map(_text, run.labels.values()))
        return str(first), str(run.labels[column]) if column else ""

    found: dict[tuple[str, str], dict[tuple[str, ...], list[Run]]] = {}
    for run in runs:
        settings = tuple(_text(run.labels[name]) for name in tuned)
        found.setdefault(place(run), {}).setdefault(settings, []).append(run)

    def worth(group: list[Run]) -> tuple[int, float]:
        values = values_of(group, metric)
        alive = values[~np.isnan(values)]
        mean = float(alive.mean()) if len(alive) else math.inf
        return int(np.isnan(values).sum()), -mean if metric in highest else mean

    cells = {}
    for key, by_settings in found.items():
        best = min(by_settings.values(), key=worth)
        others = {
            ", ".join(f"{name} {value}" for name, value in zip(tuned, settings, strict=True)): group
            for settings, group in by_settings.items()
            if group is not best
        }
        cells[key] = Cell(best, {name: best[0].labels[name] for name in tuned}, others)
    rows = list(dict.fromkeys(key[0] for key in cells))
    columns = list(dict.fromkeys(key[1] for key in cells))
    return Layout(row, column, cells, rows, columns, highest)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def measured(layout: Layout, metric: str) -> list[str]:
    """The columns that have a metric: modes, for one, are not counted on a spiral."""
    return [
        column
        for column in layout.columns
        if any(
            value is not None
            for row in layout.rows
            if (row, column) in layout.cells
            for run in layout.cells[row, column].runs
            for value in run.curves.get(metric, [])
        )
    ]


def score_table(layout: Layout, metric: str, floors: Mapping[str, Mapping[str, float]]) -> str:
    """Means with intervals, and what separates each from the column's best, seed by seed.

    Where a column's cells are of several problems, each stands beside what real points score on its own.
    """
    sign = -1.0 if metric in layout.highest else 1.0
    columns = measured(layout, metric)
    best = {}
    alike = [column for column in columns if len(layout.problems(column)) == 1]
    for column in alike:
        means = {
            row: sign * np.nanmean(values)
            for row in layout.rows
            if (row, column) in layout.cells
            and not np.isnan(values := values_of(layout.cells[row, column].runs, metric)).all()
        }
        best[column] = min(means, key=means.__getitem__) if means else None
    body = []
    for row in layout.rows:
        line = f"<td>{html.escape(row)}</td>"
        for column in columns:
            cell = layout.cells.get((row, column))
            if cell is None or not any(metric in run.curves for run in cell.runs):
                line += "<td>–</td>"
                continue
            values = values_of(cell.runs, metric)
            alive = values[~np.isnan(values)]
            mean, low, high = intervals.interval(alive)
            notes = [f"{_number(low)} to {_number(high)}"]
            leader = against = best.get(column)
            if column in alike and (REFERENCE, column) in layout.cells:
                against = REFERENCE
            if against is not None and row != against:
                other = values_of(layout.cells[against, column].runs, metric)
                both = ~np.isnan(values) & ~np.isnan(other)
                gap = intervals.interval((values - other)[both])
                notes.append(f"Δ {gap.mean:+.3g} ({gap.low:+.3g} to {gap.high:+.3g})")
            notes += [f"{name} {_text(value)}" for name, value in cell.tuned.items()]
            if column not in alike and metric in (floor := floors.get(cell.problem, {})):
                notes.append(f"real points {_number(floor[metric])}")
            if failed := len(values) - len(alive):
                notes.append(f"{failed} of {len(values)} failed")
            small = "".join(f"<small>{html.escape(note)}</small>" for note in notes)
            line += f"<td{' class=best' * (row == leader)}>{_number(mean)}{small}</td>"
        body.append(f"<tr>{line}</tr>")
    reached = {c: floors.get(layout.problems(c)[0], {}).get(metric, math.nan) for c in alike}
    if not all(map(math.isnan, reached.values())):
        real = "".join(f"<td>{_number(reached.get(column, math.nan))}</td>" for column in columns)
        body.append(f'<tr class="floor"><td>real points</td>{real}</tr>')
    return page.table([layout.row, *(column or metric for column in columns)], body)


def ranking(layout: Layout, metric: str) -> str:
    """Mean ranks over problems and seeds on a line, those not told apart joined."""
    columns = measured(layout, metric)
    complete = [
        column
        for column in columns
        if len(layout.problems(column)) == 1 and all((row, column) in layout.cells for row in layout.rows)
    ]
    if len(layout.rows) < 2 or not complete:
        return ""
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
        f"Ranks by {metric} over {len(blocks)} blocks (a seed of a problem each); a bar reaches one"
        f" critical difference, {found.critical_difference:.2f}: whatever lies within it is not told apart"
        f" (Nemenyi, 5 %). Friedman's p = {found.p_value:.2g}."
    )
    return page.svg(figure, caption)


def curves(layout: Layout, metric: str) -> str:
    """A panel a column: each row's mean over the seeds that are going, with its 95 % interval."""
    from matplotlib import colormaps

    columns = measured(layout, metric)
    if not columns:
        return ""
    count = len(columns)
    figure = page.figure(min(4.6 * count, 13.5) if count > 1 else 8, 4.2)
    panels = figure.subplots(1, count, squeeze=False)[0]
    colours = colormaps["tab10"](range(10))
    lines = ("-", "--", ":", "-.")
    for axes, column in zip(panels, columns, strict=True):
        for number, row in enumerate(layout.rows):
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
            colour = colours[number % len(colours)]
            at = np.array(cell.runs[0].steps)[kept]
            axes.plot(at, found[:, 0], lines[number // len(colours) % 4], color=colour, label=row)
            axes.fill_between(at, found[:, 1], found[:, 2], color=colour, alpha=0.2, lw=0)
        axes.set(title=column, xlabel="step", ylabel=metric if axes is panels[0] else "")
        if metric in ("w1", "sliced_w1", "generator_grad_norm"):
            axes.set_yscale("log")
            for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                axis("{x:g}")
        axes.grid(alpha=0.3)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return page.svg(figure, f"{metric}: mean over seeds, band: 95 % bootstrap interval of the mean.")


def correlation(run: Run, metric: str) -> float:
    """Spearman's rank correlation over a run of the critic's loss and a metric; NaN if one stands still."""
    from scipy import stats

    if metric not in run.curves or "critic_loss" not in run.curves:
        return math.nan
    pairs = [
        pair for pair in zip(run.curves["critic_loss"], run.curves[metric], strict=True) if None not in pair
    ]
    if len(pairs) < 3 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return math.nan
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def signal_table(layout: Layout, metric: str) -> str:
    """How well the critic's loss tells progress: its rank correlation with a metric, a run at a time."""
    body = []
    for row in layout.rows:
        line = f"<td>{html.escape(row)}</td>"
        for column in layout.columns:
            cell = layout.cells.get((row, column))
            found = [correlation(run, metric) for run in cell.runs] if cell else []
            mean, low, high = intervals.interval([value for value in found if not math.isnan(value)])
            line += f"<td>{_number(mean)}<small>{_number(low)} to {_number(high)}</small></td>"
        body.append(f"<tr>{line}</tr>")
    return page.table([layout.row, *(column or "correlation" for column in layout.columns)], body)


def scatter_panel(samples: np.ndarray, limits: np.ndarray, side: int = 64) -> np.ndarray:
    """Points as a small picture, darker where there are more: (side, side) uint8, white where none is."""
    x = samples if samples.shape[1] == 2 else np.concatenate([samples, np.zeros_like(samples)], 1)
    low, high = limits
    places = (x - low) / (high - low) * side
    places = places[((places >= 0) & (places < side)).all(1)].astype(int)  # NaN is neither
    counts = np.zeros((side, side))
    np.add.at(counts, (side - 1 - places[:, 1], places[:, 0]), 1)
    return np.where(counts == 0, 255, 130 - np.minimum(counts, 6) * 20).astype(np.uint8)


def limits_of(real: np.ndarray) -> np.ndarray:
    """The corners, low and high, of a square that shows real points with a margin."""
    centre, half = (real.max(0) + real.min(0)) / 2, np.ptp(real, axis=0).max() * 0.62
    centre = np.append(centre, 0.0) if len(centre) == 1 else centre
    return np.stack([centre - half, centre + half])


def _picture(run: Run, real: Mapping[str, Any]) -> np.ndarray:
    """A run's last samples: of several kinds the translations, side by side."""
    samples, truth = run.samples, real.get(run.problem)
    if not isinstance(samples, Mapping):
        return pictures.grid(samples) if truth is None else scatter_panel(samples, limits_of(truth))
    names = _shown(samples)
    if truth is None:
        return pictures.columns({name: samples[name] for name in names})
    return np.concatenate(
        [scatter_panel(samples[name], limits_of(truth[sampling.domain_of(name)])) for name in names], 1
    )


def _shown(samples: Mapping[str, Any]) -> list[str]:
    return [name for name in samples if "_to_" in name] or list(samples)


def _real_picture(run: Run, truth: Any) -> np.ndarray:
    """The real points of a run's problem; of several kinds those that its translations are to look like."""
    if not isinstance(truth, Mapping):
        return scatter_panel(truth, limits_of(truth))
    domains = [truth[sampling.domain_of(name)] for name in _shown(run.samples)]
    return np.concatenate([scatter_panel(points, limits_of(points)) for points in domains], 1)


def _pictures(runs: Sequence[Run], names: Sequence[str], real: Mapping[str, Any]) -> str:
    """A picture a run, on the scale of its real points."""
    lines = ""
    for run in runs:
        alt = html.escape(", ".join(filter(None, [*names, f"seed {run.seed}"])))
        lines += f'<img alt="{alt}" title="{alt}" src="{page.picture(_picture(run, real))}">'
    return lines


def _folded(layout: Layout, column: str, real: Mapping[str, Any], room: int) -> tuple[str, int]:
    """The runs of a column that its grid leaves out, as far as there is room, and how many are left."""
    lines, left = "", 0
    for row in layout.rows:
        if (cell := layout.cells.get((row, column))) is None:
            continue
        rest = {"further seeds": cell.runs[MAX_PANELS:], **cell.others}
        for name, group in rest.items():
            for start in range(0, len(group), MAX_PANELS):
                if len(lines) > room:
                    left += len(group) - start
                    break
                some = group[start : start + MAX_PANELS]
                spans = "<span></span>" * (min(len(cell.runs), MAX_PANELS) - len(some))
                lines += f"<div>{html.escape(f'{row}, {name}')}</div>"
                lines += _pictures(some, (row, column, name), real) + spans
    return lines, left


def panels(layout: Layout, real: Mapping[str, Any]) -> str:
    """The last samples of every member: a row of the page each row, a picture each seed.

    What the tables are of stands open; the other settings, and more seeds than fit a row, are folded away.
    """
    parts, room = [], MAX_FOLDED
    for column in layout.columns:
        some = next(layout.cells[row, column] for row in layout.rows if (row, column) in layout.cells)
        seeds = [run.seed for run in some.runs][:MAX_PANELS]
        lines, shown = "", None
        for row in layout.rows:
            if (cell := layout.cells.get((row, column))) is None:
                continue
            if cell.problem in real and cell.problem != shown:
                address = page.picture(_real_picture(cell.runs[0], real[cell.problem]))
                lines += f'<div>real</div><img alt="real points" src="{address}">'
                lines += "<span></span>" * (len(seeds) - 1)
            if shown is None:
                heads = "".join(f'<div class="head">{seed}</div>' for seed in seeds)
                lines += f'<div class="head">seed</div>{heads}'
            shown = cell.problem
            lines += f"<div>{html.escape(row)}</div>"
            lines += _pictures(cell.runs[:MAX_PANELS], (row, column), real)
        samples = some.runs[0].samples
        width = 64 * (len(_shown(samples)) if isinstance(samples, Mapping) else 1)
        style = f"grid-template-columns: 7rem repeat({len(seeds)}, minmax(0, {width}px))"
        parts.append(f'<h3>{html.escape(column)}</h3><div class="panels" style="{style}">{lines}</div>')
        folded, left = _folded(layout, column, real, room)
        room -= len(folded)
        if folded:
            grid = f'<div class="panels" style="{style}">{folded}</div>'
            parts.append(f"<details><summary>The other runs</summary>{grid}</details>")
        if left:
            parts.append(f"<p>{left} more are not drawn; groups/*/last.npz has their samples.</p>")
    return "".join(parts)


def write(
    path: Path,
    *,
    title: str,
    runs: Sequence[Run],
    real: Mapping[str, Any],
    floors: Mapping[str, Mapping[str, float]],
    shown: Sequence[str],
    costs: str,
    about: str,
) -> None:
    """Writes the page of a sweep.

    Args:
      path: where to.
      title: its headline.
      runs: all of them.
      real: real points by problem, none for images.
      floors: by problem, the scores of real points.
      shown: what else of what is logged to draw curves of.
      costs: a table of the programs, HTML.
      about: how it was made, plain text.
    """
    found = meanings_of(runs)
    metrics = list(found) or ["critic_loss", "generator_loss"]
    layout = arrange(runs, metrics[0])
    steps = max(sum(value is not None for value in run.curves.get(metrics[0], ())) for run in runs)
    failed = sum(run.failed > 0 for run in runs)
    parts = [f"<h1>{html.escape(title)}</h1><pre>{html.escape(about)}</pre>"]
    parts.append(
        f"<p>{len(runs)} runs, {failed} of which went non-finite. Numbers are means over seeds with the"
        " 95 % bootstrap interval; Δ is the difference to the column's best, or to the row none"
        " where there is one, paired by seed; rows on different problems have none. Where more was swept"
        f" over, the value whose mean {metrics[0]} is best was taken, on the same seeds.</p>"
    )
    for number, metric in enumerate(metrics):
        meaning = "as logged; the losses of different objectives do not compare"
        if found:
            meaning = f"{found[metric][1]}; {'more' if found[metric][0] else 'less'} is better"
        parts.append(f"<h2>{html.escape(metric)}</h2><p>{html.escape(meaning)}</p>")
        parts.append(score_table(layout, metric, floors))
        if number == 0:
            parts.append(ranking(layout, metric) if found else "")
            parts.append(f"<h2>Learning curves</h2>{''.join(curves(layout, x) for x in (metric, *shown))}")
            if found and steps >= MIN_SIGNAL and any("critic_loss" in run.curves for run in runs):
                parts.append(
                    "<h2>Is the critic's loss a measure of progress?</h2><p>Spearman's rank correlation,"
                    f" within a run, of the critic's loss with {metric} at {steps} steps. An estimate of"
                    " the distance is −critic_loss: −1 is perfect for it, and 0 tells nothing.</p>"
                )
                parts.append(signal_table(layout, metric))
    parts.append(f"<h2>Last samples of every run</h2>{panels(layout, real)}")
    parts.append(f"<h2>Time</h2>{costs}")
    page.write(path, title, parts)
