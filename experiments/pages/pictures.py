"""Pictures of samples: grids of images, and plots of points over real points."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.training import sampling
from jaxgan import data

LogDensity = Callable[[jax.Array], jax.Array]

GAP = 2  # pixels between images
MARGIN = 6  # pixels at the left and the right of the name of a row
MOST_COLUMNS, MOST_LETTERS = 32, 24  # images in a row and letters of its name


def grid(samples: np.ndarray, scale: int | None = None, columns: int | None = None) -> np.ndarray:
    """Arranges images in one grid.

    Pixel values are exactly those of images saved one by one.

    Args:
      samples: (N, H, W, C) float images in [−1, 1].
      scale: Integer factor by which images are enlarged; None enlarges small images to at most 56 pixels.
      columns: Number of images in a row; None for a nearly square grid.

    Returns:
      (rows, columns, 3) uint8 picture.
    """
    images = data.to_uint8(samples)
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    scale = scale or max(1, 56 // images.shape[1])
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, channels = images.shape
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 127, np.uint8)
    for i, image in enumerate(images):
        top, left = GAP + i // columns * (height + GAP), GAP + i % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def named_rows(samples: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Arranges images of several classes, with a row for each class and its name at the left of the row.

    Rows longer than ``MOST_COLUMNS`` continue below. The images of a single class form a square grid.

    Args:
      samples: (K · n, H, W, C) float images in [−1, 1], n of each class, in the order of the names.
      names: Names of the K classes. Long names are shortened.

    Returns:
      (height, width, 3) uint8 picture.
    """
    groups = np.split(samples, len(names))
    columns = min(len(groups[0]), MOST_COLUMNS) if len(names) > 1 else None
    sheets = [grid(group, columns=columns) for group in groups]
    line = grid(samples[:1]).shape[0]  # The height of a row of images.
    shown = [name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…" for name in names]
    font = ImageFont.load_default(size=float(np.clip(line // 4, 15, 40)))
    width = int(max(font.getlength(name) for name in shown)) + 2 * MARGIN
    height = sum(len(sheet) for sheet in sheets)
    margin = Image.new("RGB", (width, height), "white")
    draw, top = ImageDraw.Draw(margin), 0
    for name, sheet in zip(shown, sheets, strict=True):
        middle = top + len(sheet) / 2
        draw.text((width - MARGIN, middle), name, fill="black", font=font, anchor="rm")
        top += len(sheet)
    return np.concatenate([np.asarray(margin), np.concatenate(sheets)], axis=1)


def square(samples: np.ndarray, real: np.ndarray | None) -> float:
    """Returns half the side of the square around the origin to draw.

    The real points determine the square if they are given, and otherwise the samples do.
    """
    return 1.25 * float(np.abs(samples if real is None else real).max())


def scatter(
    samples: np.ndarray, real: np.ndarray | None, title: str, surface: np.ndarray | None = None
) -> np.ndarray:
    """Plots generated points over real points, with axes that the real points determine.

    Args:
      samples: (N, 2) generated points.
      real: (M, 2) real points, or None.
      title: Title of the plot.
      surface: (side, side) logits of the critic over the square of the plot, with rows from bottom to top,
        or None. Redder places have higher logits.

    Returns:
      (600, 600, 3) uint8 picture.
    """
    axes = _axes(title)
    limit = square(samples, real)
    if surface is not None and np.isfinite(surface).all():
        extent = (-limit, limit, -limit, limit)
        axes.imshow(surface, extent=extent, origin="lower", cmap="coolwarm", alpha=0.45)
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=14, color="0.6", label="real", linewidths=0)
    axes.scatter(
        samples[:, 0], samples[:, 1], s=5, color="black", label="generated", linewidths=0, alpha=0.7
    )
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    return _pixels(axes)


def histogram(
    samples: np.ndarray, real: np.ndarray | None, title: str, log_density: LogDensity | None
) -> np.ndarray:
    """Plots histograms of generated and real numbers and the real density.

    The real numbers determine the horizontal axis.

    Args:
      samples: (N, 1) generated numbers.
      real: (M, 1) real numbers, or None.
      title: Title of the plot.
      log_density: Function from (K, 1) numbers to their (K,) log densities in nats, or None.

    Returns:
      (600, 600, 3) uint8 picture.
    """
    axes = _axes(title)
    shown = samples if real is None else real
    margin = 0.25 * max(float(np.ptp(shown)), 1e-3)
    limits = (float(shown.min()) - margin, float(shown.max()) + margin)
    bins = np.linspace(*limits, 81)
    for values, colour, label in ((real, "0.75", "real"), (samples, "tab:blue", "generated")):
        if values is not None:
            # The heights are normalised by all values, so values beyond the axis reduce the visible area.
            heights = np.histogram(values[:, 0], bins)[0] / (len(values) * np.diff(bins))
            axes.stairs(heights, bins, fill=True, color=colour, label=label, alpha=0.7)
    if log_density is not None:
        x = jnp.linspace(*limits, 1001)
        axes.plot(x, jnp.exp(log_density(x[:, None])), color="black", lw=1, label="density")
    axes.margins(y=0.25)  # leaves room for the legend
    axes.set(xlim=limits, ylabel="density")
    return _pixels(axes)


def _axes(title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=100)
    FigureCanvasAgg(figure)
    return figure.add_subplot(title=title)


def _pixels(axes: Any) -> np.ndarray:
    axes.legend(loc="upper right")
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def in_order(samples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns samples of several kinds, ordered by source, with translations before cycles.

    >>> list(in_order(dict.fromkeys(["a", "a_cycle", "a_to_b", "b"])))
    ['a', 'a_to_b', 'a_cycle', 'b']
    """

    def place(name: str) -> tuple[str, int]:
        source = name.partition("_to_")[0].removesuffix("_cycle")
        return source, ("_to_" in name) + 2 * name.endswith("_cycle")

    return {name: samples[name] for name in sorted(samples, key=place)}


def columns(samples: Mapping[str, np.ndarray], count: int = 16) -> np.ndarray:
    """Arranges images of several kinds, such as a source and its translations, in one column per kind.

    The name of each kind stands above its column.

    Args:
      samples: (N, H, W, C) float images in [−1, 1] by name, all of one shape; image i of one kind belongs
        to image i of the others.
      count: Number of images of each kind to draw, in two blocks side by side.

    Returns:
      (height, width, 3) uint8 picture.
    """
    joined = np.concatenate([images[:count] for images in samples.values()], 2)
    halves = np.array_split(joined, 2 if len(joined) > 1 else 1)
    sheets = [_stack(half) for half in halves]
    height = max(sheet.shape[0] for sheet in sheets)
    sheets = [
        np.pad(sheet, ((0, height - len(sheet)), (0, 0), (0, 0)), constant_values=127) for sheet in sheets
    ]
    header = Image.new("RGB", (sum(sheet.shape[1] for sheet in sheets), 14), "white")
    draw = ImageDraw.Draw(header)
    left = 0
    for sheet in sheets:
        for number, name in enumerate(samples):
            draw.text((left + 4 + number * (sheet.shape[1] - 4) / len(samples), 1), name, fill="black")
        left += sheet.shape[1]
    return np.concatenate([np.asarray(header), np.concatenate(sheets, 1)])


def _stack(images: np.ndarray) -> np.ndarray:
    # Each row of images is a grid of one image, so that the images are stacked in one column.
    rows = [grid(image[None], scale=max(1, 56 // images.shape[1])) for image in images]
    return np.concatenate(rows)


def panels(
    samples: Mapping[str, np.ndarray],
    real: Mapping[str, np.ndarray],
    domain_of: Callable[[str], str],
    title: str,
) -> np.ndarray:
    """Plots points of several kinds, each over the real points of its domain.

    Args:
      samples: (N, dim) points by name.
      real: (M, dim) real points by domain.
      domain_of: Function from a name to the domain that the samples of that name should resemble.
      title: Start of the title of each plot, followed by the name.

    Returns:
      (height, width, 3) uint8 picture.
    """
    drawn = []
    for name, points in samples.items():
        truth = real[domain_of(name)]
        kind = histogram if points.shape[1] == 1 else scatter
        drawn.append(kind(points, truth, f"{title}: {name}", None))
    lines = -(-len(drawn) // 3)
    blank = np.full_like(drawn[0], 255)
    drawn += [blank] * (lines * min(3, len(drawn)) - len(drawn))
    wide = len(drawn) // lines
    return np.concatenate([np.concatenate(drawn[i * wide : (i + 1) * wide], 1) for i in range(lines)])


def picture(
    samples: Any,
    real: Any,
    title: str,
    log_density: LogDensity | None = None,
    surface: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> np.ndarray:
    """Draws samples: images as a grid, numbers as a histogram, and points as a scatter plot.

    Args:
      samples: (N, ...) samples, or a dict of samples by name, which are drawn side by side.
      real: Real points, by domain for a dict of samples; None for images or if there are none.
      title: Title of the plots.
      log_density: As in :func:`histogram`.
      surface: As in :func:`scatter`.
      names: Names of the classes of the samples, as in :func:`named_rows`; empty if the samples are not in
        the order of their classes.

    Returns:
      (height, width, 3) uint8 picture.
    """
    if isinstance(samples, Mapping):
        samples = in_order(samples)
        if data.is_image_shape(next(iter(samples.values())).shape[1:]):
            return columns(samples)
        return panels(samples, real or samples, sampling.domain_of if real else str, title)
    if data.is_image_shape(samples.shape[1:]):
        return named_rows(samples, names) if names else grid(samples)
    if names:
        points = dict(zip(names, np.split(samples, len(names)), strict=True))
        return panels(points, points, str, title)
    if samples.shape[1] == 1:
        return histogram(samples, real, title, log_density)
    return scatter(samples, real, title, surface)
