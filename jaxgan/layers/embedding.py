"""Embedding table with one learnt vector per class."""

from collections.abc import Callable
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.ops import spectral

Array = jax.Array
Initializer = Callable[..., Array]


class Embed(nn.Module):
    """Embedding of labels as rows of a learnt table.

    A projection critic embeds its labels with a Glorot-initialised and spectrally normalised table; a
    generator embeds labels to condition its layers. The table and its singular value σ are float32; the
    vectors have type ``dtype``.

    Rows are taken by their index. The gradient is a scatter of B rows, which is faster than the product
    with one-hot labels when there are many classes. A label of ``num_classes`` or more gives NaN rather
    than another class's vector; negative labels count from the end, as in NumPy.

    Attributes:
      num_classes: Number of rows of the table.
      features: Length of each row.
      spectral: Whether the table, as a (classes, features) kernel, is divided by its largest singular
        value.
      kernel_init: Initialiser of the float32 table, (classes, features).
      dtype: Type of the vectors.

    References:
      Miyato & Koyama, 2018, cGANs with Projection Discriminator, https://arxiv.org/abs/1802.05637
    """

    num_classes: int
    features: int
    spectral: bool = False
    kernel_init: Initializer = nn.initializers.normal(1.0)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, labels: Array, train: bool) -> Array:
        """Maps (B,) integer labels to (B, features)."""
        chex.assert_rank(labels, 1)
        chex.assert_type(labels, int)
        table = self.param("kernel", self.kernel_init, (self.num_classes, self.features))
        if self.spectral:
            table = spectral.normalize(self, table, train=train)
        return jnp.take(table, labels, axis=0).astype(self.dtype)
