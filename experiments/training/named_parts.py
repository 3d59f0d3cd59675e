"""What the names in a config stand for, as explicit tables."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxgan.errors import unknown
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.pairs import one_sided_label_smoothing, top_k
from jaxgan.remedies.unrolling import unrolled
from jaxgan.steps import GAN
from jaxgan.views import noise
from jaxgan.views import pool as pools

# Fields and sections that a config may lack.
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

# What models compute in; parameters, moments, losses and samples are float32 in either.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PARALLEL = ("jit", "pmap")
PATH_LENGTH = "path_length"  # the one penalty that is on the generator
AUGMENTATIONS: Mapping[str, Callable[..., Any]] = {"instance_noise": noise.instance_noise}
POOLS: Mapping[str, Callable[..., pools.Pool]] = {"replay": pools.replay, "history": pools.history}
# By name, each function annotated with its fields. From loss pair to loss pair, or to one at each step:
PAIRS: Mapping[str, Callable[..., Any]] = {"label_smoothing": one_sided_label_smoothing, "top_k": top_k}
# From GAN to GAN, innermost first: what the last changes, those before it see.
GAMES: Mapping[str, Callable[..., GAN]] = {
    "historical_averaging": historical_averaging,
    "unrolled": unrolled,
}


def remedy_of(name: str) -> Callable[..., Any]:
    """Returns the remedy of a name.

    Raises:
      SetupError: there is none.
    """
    known = {**PAIRS, **GAMES}
    if name not in known:
        raise unknown("remedy", name, known)
    return known[name]
