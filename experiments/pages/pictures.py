"""Pictures of samples: grids of images, and plots of points over real points."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from experiments.training import sampling
from jaxgan import data

LogDensity = Callable[[jax.Array], jax.Array]


def grid(samples: np.ndarray, scale: int | None = None, columns: int | None = None) -> np.ndarray:
    """Arranges images in one grid, row by row.

    Pixel values are exactly those of images saved one by one.

    Args:
      samples: (N, H, W, C) float images in [−1, 1].
      scale: Integer factor by which images are enlarged; None enlarges small images to at most 56 pixels.
      columns: Number of columns; None for a nearly square grid.

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
    gap = 2
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 127, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


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
    grid_columns: int | None = None,
) -> np.ndarray:
    """Draws samples: images as a grid, numbers as a histogram, and points as a scatter plot.

    Args:
      samples: (N, ...) samples, or a dict of samples by name, which are drawn side by side.
      real: Real points, by domain for a dict of samples; None for images or if there are none.
      title: Title of the plots.
      log_density: As in :func:`histogram`.
      surface: As in :func:`scatter`.
      grid_columns: Number of columns of a grid; None for a nearly square one.

    Returns:
      (height, width, 3) uint8 picture.
    """
    if isinstance(samples, Mapping):
        samples = in_order(samples)
        if data.is_image_shape(next(iter(samples.values())).shape[1:]):
            return columns(samples)
        return panels(samples, real or samples, sampling.domain_of if real else str, title)
    if data.is_image_shape(samples.shape[1:]):
        return grid(samples, columns=grid_columns)
    if samples.shape[1] == 1:
        return histogram(samples, real, title, log_density)
    return scatter(samples, real, title, surface)
