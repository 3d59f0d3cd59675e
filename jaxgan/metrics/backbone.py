"""A network whose features stand for images, and what a score's receipt says of it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Backbone(NamedTuple):
    """A trained network, its weights bound.

    Attributes:
      name: what scores made with it are called after, such as ``"inception-v3-2015-12-05"``.
      sha256: of the file that the weights came from, in hexadecimal digits.
      resize: what becomes of an image before the network sees it, in words for the receipt.
      apply: (B, H, W, C) images, C 1 or 3, to named arrays, among them "features" (B, D) and "logits"
        (B, K). Called by itself it is compiled, once for each shape; in a larger program it is part of it.
    """

    name: str
    sha256: str
    resize: str
    apply: Callable[[Array], dict[str, Array]]


def as_rgb(images: Array) -> Array:
    """(B, H, W, 1) greys as (B, H, W, 3), as a grey PNG is read in colour; colour images as they are."""
    return jnp.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
