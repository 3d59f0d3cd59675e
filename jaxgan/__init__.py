"""jaxgan, a functional GAN framework for JAX.

A GAN is a pair of pure loss functions; a single train step, training loop and checkpoint format serve all
of them. Submodules are imported on first use, so that ``import jaxgan.losses`` in a notebook imports
neither Flax nor TensorFlow.
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
