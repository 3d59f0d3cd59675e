"""Samples as pictures: a grid of images, or a scatter plot of points over real ones."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgan.data import to_uint8


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


def scatter(samples: np.ndarray, real: np.ndarray | None, title: str) -> np.ndarray:
    """Generated points over real ones, on axes that the real points fix.

    Args:
      samples: (N, 2) generated points.
      real: (M, 2) real points, or None.
      title: above the plot.

    Returns:
      (600, 600, 3) uint8.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if real is not None:
        axes.scatter(real[:, 0], real[:, 1], s=14, color="0.75", label="real", linewidths=0)
    axes.scatter(
        samples[:, 0], samples[:, 1], s=5, color="tab:blue", label="generated", linewidths=0, alpha=0.7
    )
    limit = 1.25 * float(np.abs(samples if real is None else real).max())
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal", title=title)
    axes.legend(loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB"))


def picture(samples: np.ndarray, real: np.ndarray | None, title: str) -> np.ndarray:
    """A grid for images, a scatter plot for points."""
    return grid(samples) if samples.ndim == 4 else scatter(samples, real, title)


def save(path: Path, image: np.ndarray) -> None:
    """Writes a PNG, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(partial, format="PNG")
    partial.replace(path)
