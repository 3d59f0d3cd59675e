"""Signatures of system factories, which declare what a system needs from a config."""

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
      SetupError: There is no system of that name.
    """
    if config.gan.name not in gans.SYSTEMS:
        error = unknown("gan.name", config.gan.name, gans.SYSTEMS)
        raise SetupError(f"{error}; a system of your own is in a file that --systems=FILE.py names")
    return gans.SYSTEMS[config.gan.name]


def signature(factory: Callable[..., Any]) -> inspect.Signature:
    """Returns the signature of a factory, with annotations that are strings evaluated."""
    return inspect.signature(factory, eval_str=True)


def takes(factory: Callable[..., GAN], name: str) -> bool:
    """Returns whether a factory has a parameter of that name."""
    return name in signature(factory).parameters


def roles(factory: Callable[..., GAN]) -> list[str]:
    """Returns the roles that a system needs networks for: its parameters of type ``nn.Module``."""
    return [
        name
        for name, parameter in signature(factory).parameters.items()
        if parameter.annotation is nn.Module
    ]


def players(factory: Callable[..., GAN]) -> list[str]:
    """Returns the players of a system: those with a parameter for an optimiser, such as ``critic_tx``."""
    return [name for name in ("generator", "critic") if takes(factory, f"{name}_tx")]
