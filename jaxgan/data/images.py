"""Pictures of any size and mode to uint8 arrays."""

import numpy as np
from PIL import Image, ImageOps


def _convert(image: Image.Image, channels: int) -> Image.Image:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # convert() clips these to 255: scale 16 bits down instead.
        image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8))
    return image.convert("L" if channels == 1 else "RGB")


def as_it_is(image: Image.Image, channels: int) -> np.ndarray:
    """A picture's pixels, neither cropped nor resized.

    Args:
      image: any Pillow image; transparency is composed on white, camera orientation applied.
      channels: 1 for grey, 3 for colour.

    Returns:
      (height, width, channels) uint8.
    """
    image = _convert(image, channels)
    return np.asarray(image, np.uint8).reshape(image.height, image.width, channels)


def fit(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """Centre-crops a picture to a square and resizes it with an antialiasing filter.

    Args:
      image: any Pillow image; transparency is composed on white, camera orientation applied.
      size: side wanted, in pixels.
      channels: 1 for grey, 3 for colour.

    Returns:
      (size, size, channels) uint8.
    """
    image = ImageOps.fit(_convert(image, channels), (size, size), method=Image.Resampling.LANCZOS)
    return np.asarray(image, np.uint8).reshape(size, size, channels)
