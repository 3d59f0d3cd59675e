"""What a system's factory takes, read from its signature."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from jaxgan import gans
from jaxgan.errors import SetupError, unknown
from jaxgan.steps import GAN


def factory_of(config: ConfigDict) -> Callable[..., GAN]:
    """Returns the factory of a config's system.

    Raises:
      SetupError: there is no system of that name.
    """
    if config.gan.name not in gans.SYSTEMS:
        error = unknown("gan.name", config.gan.name, gans.SYSTEMS)
        raise SetupError(f"{error}; a system of your own is in a file that --systems=FILE.py names")
    return gans.SYSTEMS[config.gan.name]


def signature(factory: Callable[..., Any]) -> inspect.Signature:
    """Returns a factory's signature, its annotations evaluated where its file left them as text."""
    return inspect.signature(factory, eval_str=True)


def roles(factory: Callable[..., GAN]) -> list[str]:
    """Returns the roles that a system needs networks for: its parameters that are modules."""
    return [
        name
        for name, parameter in signature(factory).parameters.items()
        if parameter.annotation is nn.Module
    ]


def takes(factory: Callable[..., GAN], name: str) -> bool:
    """Whether a factory has a parameter of that name."""
    return name in signature(factory).parameters


def players(factory: Callable[..., GAN]) -> list[str]:
    """Returns the players of a system that have an optimiser."""
    return [name for name in ("generator", "critic") if takes(factory, f"{name}_tx")]
