"""The config field ``remedies``: names of remedies, each with its hyper-parameters."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from jaxgan import hyper
from jaxgan.errors import SetupError, unknown
from jaxgan.losses import LossPair
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.pairs import one_sided_label_smoothing, top_k
from jaxgan.remedies.unrolling import unrolled
from jaxgan.steps import GAN

# By name, each function annotated with its fields. From loss pair to loss pair, or to one at each step:
PAIRS: Mapping[str, Callable[..., Any]] = {"label_smoothing": one_sided_label_smoothing, "top_k": top_k}
# From GAN to GAN, innermost first: what the last changes, those before it see.
GAMES: Mapping[str, Callable[..., GAN]] = {
    "historical_averaging": historical_averaging,
    "unrolled": unrolled,
}


def function_of(name: str) -> Callable[..., Any]:
    """Returns the remedy of a name.

    Raises:
      SetupError: there is none.
    """
    known = {**PAIRS, **GAMES}
    if name not in known:
        raise unknown("remedy", name, known)
    return known[name]


def sections(config: ConfigDict, name: str) -> ConfigDict:
    """A config's section of sections, empty if it has none.

    Raises:
      SetupError: it is something else, or what is in it.
    """
    found = config.get(name, ConfigDict())
    if not isinstance(found, ConfigDict):
        raise SetupError(f"config field {name} is {found!r}: give a section of them by name")
    for field, value in found.items():
        if not isinstance(value, ConfigDict):
            raise SetupError(f"config field {name}.{field} is {value!r}: give a section of its fields")
    return found


def check(config: ConfigDict) -> None:
    """Refuses remedies that do not exist, lack a field, or cannot be combined with the rest of the config.

    Raises:
      SetupError: the message names the field.
    """
    chosen = sections(config, "remedies")
    for name, values in chosen.items():
        hyper.check_fields(f"remedies.{name}", values, function_of(name))
    matching = config.gan.get("feature_matching", False)
    for name in PAIRS:
        if name in chosen and "loss" not in config.gan:
            raise SetupError(
                f"config field remedies.{name} changes a loss of logits, system {config.gan.name} has none"
            )
    if "top_k" in chosen and matching:
        raise SetupError(
            "config field remedies.top_k does nothing beside gan.feature_matching, another loss for the"
            " generator: leave one out"
        )
    if "unrolled" not in chosen or "critic" not in config.optimizers:
        return
    critic = config.optimizers.critic
    root = critic.get("eps_root", 0)
    if _takes_root(critic.name) and not (hyper.is_number(root) and root > 0):
        raise SetupError(
            f"config field optimizers.critic.eps_root is {root!r}, and remedies.unrolled takes the"
            f" derivative of {critic.name}'s √: give a small number, such as 1e-8"
        )


def _takes_root(optimizer: str) -> bool:
    function = getattr(optax, optimizer, None)
    return function is not None and "eps_root" in inspect.signature(function).parameters


def on_pair(config: ConfigDict, pair: LossPair) -> LossPair | Callable[[jax.Array], LossPair]:
    """The pair, or pair at each step, after the config's remedies."""
    chosen = config.get("remedies", {})
    changed: LossPair | Callable[[jax.Array], LossPair] = pair
    for name, remedy in PAIRS.items():
        if name in chosen:
            try:
                changed = remedy(changed, **chosen[name])
            except SetupError as error:
                raise SetupError(f"config field remedies.{name}: {error}") from error
    return changed


def on_game(config: ConfigDict, gan: GAN) -> GAN:
    """The system after the config's remedies."""
    chosen = config.get("remedies", {})
    for name, remedy in GAMES.items():
        if name in chosen:
            gan = remedy(gan, **chosen[name])
    return gan
