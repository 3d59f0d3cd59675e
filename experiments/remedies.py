"""The config field ``remedies``: names of remedies, each with its hyper-parameters."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from jaxgan.errors import SetupError, unknown
from jaxgan.losses import LossPair
from jaxgan.remedies.features import feature_matching
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.noise import instance_noise
from jaxgan.remedies.pairs import one_sided_label_smoothing, top_k
from jaxgan.remedies.replay import experience_replay
from jaxgan.remedies.unrolling import unrolled
from jaxgan.steps import GAN


def is_number(value: Any) -> bool:
    """Whether a field's value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a field's value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


Test = tuple[Callable[[Any], bool], str]
UNIT: Test = (lambda x: is_number(x) and 0 <= x <= 1, "a number from 0 to 1")
NOT_NEGATIVE: Test = (lambda x: is_number(x) and x >= 0, "0 or more")
COUNT: Test = (lambda x: is_whole(x) and x >= 1, "a whole number of at least 1")

# By name: the function and the fields it takes. From loss pair to loss pair, the last to one at each step:
PAIRS: Mapping[str, tuple[Callable[..., Any], Mapping[str, Test]]] = {
    "label_smoothing": (one_sided_label_smoothing, {"real_label": UNIT}),
    "top_k": (top_k, {"share": UNIT, "decay": UNIT}),
}
# From GAN to GAN, innermost first: what the last changes, those before it see.
GAMES: Mapping[str, tuple[Callable[..., GAN], Mapping[str, Test]]] = {
    "feature_matching": (feature_matching, {}),
    "instance_noise": (instance_noise, {"std": NOT_NEGATIVE, "steps": COUNT}),
    "replay": (experience_replay, {"size": COUNT, "share": UNIT}),
    "historical_averaging": (historical_averaging, {"weight": NOT_NEGATIVE}),
    "unrolled": (unrolled, {"steps": COUNT}),
}
FIELDS = {name: fields for name, (_, fields) in (*PAIRS.items(), *GAMES.items())}


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
        if name not in FIELDS:
            raise unknown("remedy", name, FIELDS)
        for field in values:
            if field not in FIELDS[name]:
                raise unknown(f"remedies.{name} field", field, FIELDS[name])
        for field, (test, wanted) in FIELDS[name].items():
            if field not in values:
                raise SetupError(f"the config has no field remedies.{name}.{field}: give {wanted}")
            if not test(values[field]):
                raise SetupError(
                    f"config field remedies.{name}.{field} is {values[field]!r}: give {wanted}"
                )
    for name in ("label_smoothing", "top_k", "feature_matching"):
        if name in chosen and config.loss == "began":
            raise SetupError(f"config field remedies.{name} is for a critic of logits, loss began has none")
    if "top_k" in chosen and "feature_matching" in chosen:
        raise SetupError(
            "config field remedies.top_k does nothing beside remedies.feature_matching, another loss for"
            " the generator: leave one out"
        )
    critic = config.optimizers.critic
    root = critic.get("eps_root", 0)
    if "unrolled" in chosen and _takes_root(critic.name) and not (is_number(root) and root > 0):
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
    for name, (remedy, _) in PAIRS.items():
        if name in chosen:
            try:
                changed = remedy(changed, **chosen[name])
            except SetupError as error:
                raise SetupError(f"config field remedies.{name}: {error}") from error
    return changed


def on_game(config: ConfigDict, gan: GAN) -> GAN:
    """The system after the config's remedies."""
    chosen = config.get("remedies", {})
    for name, (remedy, _) in GAMES.items():
        if name in chosen:
            gan = remedy(gan, **chosen[name])
    return gan
