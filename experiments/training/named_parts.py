"""Tables of the parts that a config selects by name."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxgan import penalties, regularizers
from jaxgan.errors import unknown
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.pairs import one_sided_label_smoothing, top_k
from jaxgan.remedies.unrolling import unrolled
from jaxgan.steps import GAN
from jaxgan.views import noise
from jaxgan.views import pool as pools

# Fields and sections that a config may leave out.
OPTIONAL = (
    "accumulate",
    "augment",
    "curves",
    "parallel",
    "penalties",
    "pool",
    "remedies",
    "score",
    "stages",
)

# Models compute in this type. Parameters, moments, losses and samples are always float32.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PARALLEL = ("jit", "pmap")

# The signature of each function declares which fields the section of that name has.
GENERATOR_PENALTIES: Mapping[str, Callable[..., regularizers.Regularizer]] = {
    "orthogonal": regularizers.orthogonal,
    "path_length": regularizers.path_length,
}
PENALTIES: Mapping[str, Callable[..., Any]] = {
    **penalties.PENALTIES,
    **GENERATOR_PENALTIES,
}
AUGMENTATIONS: Mapping[str, Callable[..., Any]] = {"instance_noise": noise.instance_noise}
POOLS: Mapping[str, Callable[..., pools.Pool]] = {"replay": pools.replay, "history": pools.history}
# Each of these maps a loss pair to another one, or to a function of the step that returns one.
LOSS_REMEDIES: Mapping[str, Callable[..., Any]] = {
    "label_smoothing": one_sided_label_smoothing,
    "top_k": top_k,
}
# Each of these maps a GAN to another one. They are applied in this order, the first one innermost.
GAN_REMEDIES: Mapping[str, Callable[..., GAN]] = {
    "historical_averaging": historical_averaging,
    "unrolled": unrolled,
}


def remedy_of(name: str) -> Callable[..., Any]:
    """Returns the remedy of a name.

    Raises:
      SetupError: There is no such remedy.
    """
    remedies = {**LOSS_REMEDIES, **GAN_REMEDIES}
    if name not in remedies:
        raise unknown("remedy", name, remedies)
    return remedies[name]
