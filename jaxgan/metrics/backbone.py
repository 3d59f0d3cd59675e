"""A network that extracts image features, with the facts that a receipt records about it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class Backbone(NamedTuple):
    """A trained network with its weights.

    Attributes:
      name: Name of the network in receipts, such as ``"inception-v3-2015-12-05"``.
      sha256: SHA-256 of the file that the weights come from, in hexadecimal digits.
      resize: Description for the receipt of how images are resized before they enter the network.
      apply: Function of (B, H, W, C) images, C 1 or 3, that returns arrays by name, including "features"
        (B, D) and "logits" (B, K). A call outside of ``jit`` is compiled once per shape; a call inside of a
        traced function becomes part of it.
    """

    name: str
    sha256: str
    resize: str
    apply: Callable[[Array], dict[str, Array]]


def as_rgb(images: Array) -> Array:
    """Repeats the channel of (B, H, W, 1) grey images to (B, H, W, 3); returns colour images unchanged."""
    return jnp.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
