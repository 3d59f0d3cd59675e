"""Samples as pictures: a grid of images, a scatter plot or a histogram of points over real ones."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxgan import files
from jaxgan.data import to_uint8

LogDensity = Callable[[jax.Array], jax.Array]


def grid(samples: np.ndarray) -> np.ndarray:
    """Images in one nearly square grid, exactly as saved one by one; small ones enlarged by whole pixels.

    Args:
      samples: (N, H, W, C) float, in [−1, 1].

    Returns:
      (rows, columns, 3) uint8.
    """
    images = to_uint8(samples)
    if images.shape[-1] == 1:
        images = np.repeat(images, 3, axis=-1)
    scale = max(1, 56 // images.shape[1])
    images = images.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = 2
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 127, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def square(samples: np.ndarray, real: np.ndarray | None) -> float:
    """Half the side of the square around the origin that is drawn; real points fix it if there are any."""
    return 1.25 * float(np.abs(samples if real is None else real).max())


def scatter(
    samples: np.ndarray, real: np.ndarray | None, title: str, surface: np.ndarray | None = None
) -> np.ndarray:
    """Generated points over real ones, on axes that the real points fix.

    Args:
      samples: (N, 2) generated points.
      real: (M, 2) real points, or None.
      title: above the plot.
      surface: (side, side) logits of the critic over the square, rows upwards, or None; the redder, the
        more real it takes a point to be.

    Returns:
      (600, 600, 3) uint8.
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
    """Generated numbers over real ones and the real density, on an axis that the real ones fix.

    Args:
      samples: (N, 1) generated numbers.
      real: (M, 1) real numbers, or None.
      title: above the plot.
      log_density: (K, 1) numbers to (K,) nats, or None.

    Returns:
      (600, 600, 3) uint8.
    """
    axes = _axes(title)
    shown = samples if real is None else real
    margin = 0.25 * max(float(np.ptp(shown)), 1e-3)
    limits = (float(shown.min()) - margin, float(shown.max()) + margin)
    bins = np.linspace(*limits, 81)
    for values, colour, label in ((real, "0.75", "real"), (samples, "tab:blue", "generated")):
        if values is not None:
            # Divided by all of them, so that those beyond the axis are missed and not made up for.
            heights = np.histogram(values[:, 0], bins)[0] / (len(values) * np.diff(bins))
            axes.stairs(heights, bins, fill=True, color=colour, label=label, alpha=0.7)
    if log_density is not None:
        x = jnp.linspace(*limits, 1001)
        axes.plot(x, jnp.exp(log_density(x[:, None])), color="black", lw=1, label="density")
    axes.margins(y=0.25)  # the legend's room
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


def picture(
    samples: np.ndarray,
    real: np.ndarray | None,
    title: str,
    log_density: LogDensity | None = None,
    surface: np.ndarray | None = None,
) -> np.ndarray:
    """A grid for images, a histogram for numbers, a scatter plot for points of more dimensions."""
    if samples.ndim == 4:
        return grid(samples)
    if samples.shape[1] == 1:
        return histogram(samples, real, title, log_density)
    return scatter(samples, real, title, surface)


def save(path: Path, image: np.ndarray) -> None:
    """Writes a PNG, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG")
    files.write(path, encoded.getvalue())
