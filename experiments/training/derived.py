"""Values that follow from a config's fields."""

from typing import Any

import jax
from ml_collections import ConfigDict

from jaxgan import data, schedules
from jaxgan.errors import SetupError


def switched_on(penalty: ConfigDict) -> bool:
    """Returns whether a penalty is part of the program."""
    # A traced weight is one of a population's; a weight of 0 leaves its penalty out of the program.
    weight = penalty.get("weight")
    return isinstance(weight, jax.Array | ConfigDict) or bool(weight)


def ema_decay(config: ConfigDict) -> Any:
    """Returns the decay of the averages, a number or a schedule of the step."""
    return schedules.build(plain(config.ema_decay), "ema_decay")


def data_seed(config: ConfigDict) -> int:
    """Returns the seed of the batches: ``data.seed`` where a config gives one, for runs to share."""
    return config.data.get("seed", config.seed)


def spec_of(config: ConfigDict) -> data.Spec:
    """Returns what is known of a config's data before it is opened.

    Raises:
      SetupError: there are no such data, or they lack a field such as their size.
    """
    return data.open_spec(**config.data)


def plain(value: Any) -> Any:
    """Returns a section of a config as a dict, and any other value as it is."""
    return value.to_dict() if isinstance(value, ConfigDict) else value


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
