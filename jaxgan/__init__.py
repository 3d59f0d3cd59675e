"""jaxgan, the functional GAN framework for JAX.

A GAN is two pure loss functions; one train step, one loop and one checkpoint serve them all. Submodules
load on first use, so that ``import jaxgan.losses`` in a notebook loads neither flax nor TensorFlow.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBMODULES = (
    "checkpoint",
    "data",
    "errors",
    "gans",
    "latents",
    "layers",
    "losses",
    "metrics",
    "models",
    "objectives",
    "ops",
    "optimizers",
    "parallel",
    "penalties",
    "regularizers",
    "remedies",
    "schedules",
    "stages",
    "state",
    "steps",
    "theory",
    "views",
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"jaxgan.{name}")
    raise AttributeError(f"module 'jaxgan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_SUBMODULES]
