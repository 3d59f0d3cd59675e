"""Augmentations: functions T that are applied in front of the critic, in both players' updates.

Penalties differentiate D∘T with respect to the unaugmented samples. Terms that compare samples, such as
cycle errors, are computed without T.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxgan.state import GANState

Array = jax.Array


class Augmentation(NamedTuple):
    """A random transformation of samples.

    Attributes:
      apply: ``apply(x, keys, state) -> x``, for (B, ...) samples and (B,) PRNG keys, one per row.
      metrics: ``metrics(state)``, returns the scalars that the augmentation logs.
    """

    apply: Callable[[Array, Array, GANState], Array]
    metrics: Callable[[GANState], dict[str, Array]]
