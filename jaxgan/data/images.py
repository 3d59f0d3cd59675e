"""Conversion of pictures of any size and mode to uint8 arrays."""

import numbers

import numpy as np
from PIL import Image, ImageOps

from jaxgan.errors import SetupError

# Sources keep decoded images in memory up to this many bytes in all; otherwise each use decodes them again.
MEMORY_LIMIT = 4 * 2**30


def image_shape(size: int, channels: int) -> tuple[int, int, int]:
    """Returns the shape (size, size, channels) of images that are fitted to a size.

    Raises:
      SetupError: The size is not a whole number of at least 1, or the channels are neither 1 nor 3.
    """
    if not isinstance(size, numbers.Integral) or isinstance(size, bool) or size < 1:
        raise SetupError(f"data.size is {size!r}: give a whole number of at least 1")
    if channels not in (1, 3):
        raise SetupError(f"data.channels is {channels!r}: give 1 for grey or 3 for colour")
    return (int(size), int(size), int(channels))


def _convert(image: Image.Image, channels: int) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # convert() clips these modes to 255, so 16-bit values are scaled down here instead.
        image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    return image.convert("L" if channels == 1 else "RGB")


def as_it_is(image: Image.Image, channels: int) -> np.ndarray:
    """Returns the pixels of a picture, neither cropped nor resized.

    Args:
      image: Pillow image of any mode. Transparency is composed on white, and camera orientation is applied.
      channels: 1 for grey, 3 for colour.

    Returns:
      Pixels of shape (height, width, channels), uint8.
    """
    image = _convert(image, channels)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def fit(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """Centre-crops a picture to a square and resizes it with an antialiasing filter.

    Args:
      image: Pillow image of any mode. Transparency is composed on white, and camera orientation is applied.
      size: Side of the result in pixels.
      channels: 1 for grey, 3 for colour.

    Returns:
      Pixels of shape (size, size, channels), uint8.
    """
    image = ImageOps.fit(_convert(image, channels), (size, size), method=Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(size, size, channels)
