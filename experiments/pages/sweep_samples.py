"""Small pictures of the final samples of every run of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.pages import page, pictures
from experiments.pages.sweep_layout import Layout
from experiments.training import sampling
from experiments.training.sweep_results import Run

MAX_PANELS = 32  # pictures in a line
MAX_FOLDED = 4_000_000  # characters of folded pictures, which limits the size of a page to a few MB
SIDE = 64  # pixels of a scatter plot


class Picture(NamedTuple):
    """A picture in a line.

    Attributes:
      name: Text that identifies the run.
      address: Data URL of the picture.
    """

    name: str
    address: str


class Line(NamedTuple):
    """A line of a panel, with one place per seed.

    Attributes:
      label: Text at the start of the line.
      pictures: Pictures that fill the first places.
      heads: Texts above the places, in a line without pictures.
      blanks: Number of empty places at the end of the line.
    """

    label: str
    pictures: Sequence[Picture] = ()
    heads: Sequence[str] = ()
    blanks: int = 0


class Panel(NamedTuple):
    """The samples of a column.

    Attributes:
      title: Name of the column.
      style: CSS of the grid.
      lines: Lines of the runs that the tables show.
      folded: Lines of further seeds and other settings, which the page folds away.
      num_left: Number of runs left out for lack of room.
    """

    title: str
    style: str
    lines: Sequence[Line]
    folded: Sequence[Line]
    num_left: int


def scatter_panel(samples: np.ndarray, limits: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Draws points as a small picture in which denser regions are darker.

    Args:
      samples: (N, 1) or (N, 2) points; points that are not finite are left out.
      limits: (2, 2) lower and upper corner of the square to draw.
      side: Side of the picture in pixels.

    Returns:
      (side, side) uint8, 255 where there is no point.
    """
    x = samples if samples.shape[1] == 2 else np.concatenate([samples, np.zeros_like(samples)], 1)
    low, high = limits
    places = (x - low) / (high - low) * side
    places = places[((places >= 0) & (places < side)).all(1)].astype(int)  # both comparisons drop NaN
    counts = np.zeros((side, side))
    np.add.at(counts, (side - 1 - places[:, 1], places[:, 0]), 1)
    return np.where(counts == 0, 255, 130 - np.minimum(counts, 6) * 20).astype(np.uint8)


def limits_of(real: np.ndarray) -> np.ndarray:
    """Returns the lower and upper corner, (2, 2), of a square that contains real points with a margin."""
    centre, half = (real.max(0) + real.min(0)) / 2, np.ptp(real, axis=0).max() * 0.62
    centre = np.append(centre, 0.0) if len(centre) == 1 else centre
    return np.stack([centre - half, centre + half])


def _shown(samples: Mapping[str, Any]) -> list[str]:
    """Returns the names of the translations among samples of several kinds; all names if there are none."""
    return [name for name in samples if "_to_" in name] or list(samples)


def _draw(run: Run, truth: Any) -> np.ndarray:
    """Draws the final samples of a run; translations are drawn side by side.

    Args:
      run: The run.
      truth: Real points that set the scale, by domain if there are several; None for images.
    """
    samples = run.samples
    if not isinstance(samples, Mapping):
        if truth is not None:
            return scatter_panel(samples, limits_of(truth))
        return pictures.picture(samples, None, "", names=run.class_names)
    names = _shown(samples)
    if truth is None:
        return pictures.columns({name: samples[name] for name in names})
    return np.concatenate(
        [scatter_panel(samples[name], limits_of(truth[sampling.domain_of(name)])) for name in names], 1
    )


def _draw_real(run: Run, truth: Any) -> np.ndarray:
    """Draws the real points that the samples of a run should resemble."""
    if not isinstance(truth, Mapping):
        return scatter_panel(truth, limits_of(truth))
    domains = [truth[sampling.domain_of(name)] for name in _shown(run.samples)]
    return np.concatenate([scatter_panel(points, limits_of(points)) for points in domains], 1)


def _pictures(runs: Sequence[Run], names: Sequence[str], real: Mapping[str, Any]) -> list[Picture]:
    return [
        Picture(
            ", ".join(filter(None, [*names, f"seed {run.seed}"])),
            page.picture(_draw(run, real.get(run.problem))),
        )
        for run in runs
    ]


def _folded(layout: Layout, column: str, real: Mapping[str, Any], room: int) -> tuple[list[Line], int]:
    """Draws the runs that the tables do not show, and counts those for which there is no room."""
    lines: list[Line] = []
    left = 0
    for row in layout.rows:
        if (cell := layout.cells.get((row, column))) is None:
            continue
        rest = {"further seeds": cell.runs[MAX_PANELS:], **cell.others}
        for name, group in rest.items():
            for start in range(0, len(group), MAX_PANELS):
                if _size(lines) > room:
                    left += len(group) - start
                    break
                drawn = _pictures(group[start : start + MAX_PANELS], (row, column, name), real)
                blanks = max(0, min(len(cell.runs), MAX_PANELS) - len(drawn))
                lines.append(Line(f"{row}, {name}", drawn, blanks=blanks))
    return lines, left


def _size(lines: Sequence[Line]) -> int:
    return sum(len(picture.address) for line in lines for picture in line.pictures)


def _opened(layout: Layout, column: str, real: Mapping[str, Any], seeds: Sequence[int]) -> list[Line]:
    """Draws the runs that the tables show, below the real points of their problem."""
    lines: list[Line] = []
    shown = None
    for row in layout.rows:
        if (cell := layout.cells.get((row, column))) is None:
            continue
        if cell.problem in real and cell.problem != shown:
            drawn = Picture("real points", page.picture(_draw_real(cell.runs[0], real[cell.problem])))
            lines.append(Line("real", [drawn], blanks=len(seeds) - 1))
        if shown is None:
            lines.append(Line("seed", heads=[str(seed) for seed in seeds]))
        shown = cell.problem
        lines.append(Line(row, _pictures(cell.runs[:MAX_PANELS], (row, column), real)))
    return lines


def panels(layout: Layout, real: Mapping[str, Any]) -> list[Panel]:
    """Draws the final samples of every run, with one panel per column and one line per row.

    The runs that the tables show are visible. Runs with other settings, and seeds beyond the first
    ``MAX_PANELS``, are folded away; once their pictures take more than ``MAX_FOLDED`` characters, the
    remaining runs are left out.

    Args:
      layout: Arranged runs.
      real: Real points by problem; problems of images are absent.
    """
    found, room = [], MAX_FOLDED
    for column in layout.columns:
        some = next(layout.cells[row, column] for row in layout.rows if (row, column) in layout.cells)
        seeds = [run.seed for run in some.runs][:MAX_PANELS]
        samples = some.runs[0].samples
        width = SIDE * (len(_shown(samples)) if isinstance(samples, Mapping) else 1)
        style = f"grid-template-columns: 7rem repeat({len(seeds)}, minmax(0, {width}px))"
        lines = _opened(layout, column, real, seeds)
        folded, left = _folded(layout, column, real, room)
        room -= _size(folded)
        found.append(Panel(column, style, lines, folded, left))
    return found
