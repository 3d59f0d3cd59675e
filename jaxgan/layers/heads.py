"""Output layers of critics that classify samples as well as score them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgan.layers.linear import Dense

Array = jax.Array


class Classified(NamedTuple):
    """Outputs of a classifying critic.

    Attributes:
      logits: (B,) logits of the samples being real.
      class_logits: (B, K) logits of the classes, before any softmax.
    """

    logits: Array
    class_logits: Array


class ClassifyingHeads(nn.Module):
    """Two dense layers on the same features, for the score and for the classes.

    Attributes:
      classes: Number K of labels.
      spectral: Whether each layer's kernel is divided by its largest singular value.
      kernel_init: Initialiser of both kernels.
      dtype: Type of the products' operands; parameters and results are float32.
    """

    classes: int
    spectral: bool = False
    kernel_init: Callable[..., Array] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Classified:
        """Maps (B, F) features to the (B,) logits and the (B, K) class logits."""
        common = (True, self.spectral, self.kernel_init, self.dtype)
        logits = Dense(1, *common, name="score")(x, train)[:, 0]
        class_logits = Dense(self.classes, *common, name="classes")(x, train)
        return Classified(logits.astype(jnp.float32), class_logits.astype(jnp.float32))
