"""Augmentations: functions T inside the critic, for both players.

Penalties differentiate D∘T with respect to the samples before T, and terms that compare samples, such as
cycle errors, never see T.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from jaxgan.state import GANState

Array = jax.Array


class Augmentation(NamedTuple):
    """A random change of samples.

    Attributes:
      apply: ``apply(x, keys, state) -> x``, (B, ...) samples and (B,) PRNG keys, one a row.
      metrics: ``metrics(state)``, the scalars that it logs.
    """

    apply: Callable[[Array, Array, GANState], Array]
    metrics: Callable[[GANState], dict[str, Array]]
