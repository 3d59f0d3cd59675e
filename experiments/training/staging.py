"""Stages of a config."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.cli.config_fields import with_values
from experiments.training import derived


class StageConfig(NamedTuple):
    """The config of one stage.

    Attributes:
      until: Last step of the stage.
      config: All fields of the stage, without ``stages``.
      carry: Name of the function that carries the state over from the previous stage; empty for the first.
      own: Dotted names of the fields and sections that the stage sets itself.
    """

    until: int
    config: ConfigDict
    carry: str
    own: tuple[str, ...] = ()

    def with_values(self, values: Mapping[str, Any]) -> ConfigDict:
        """Returns the stage's config with the given values, except in fields that the stage sets itself.

        Args:
          values: Values by dotted names of fields.
        """

        def overlap(name: str, own: str) -> bool:
            return name == own or name.startswith(f"{own}.") or own.startswith(f"{name}.")

        kept = {
            name: value for name, value in values.items() if not any(overlap(name, own) for own in self.own)
        }
        return with_values(self.config, kept)


def stage_configs(config: ConfigDict) -> list[StageConfig]:
    """Splits a config into its stages.

    A config without the field ``stages`` has one stage. Otherwise, each entry of ``stages`` has ``until``,
    the last step of the stage, ``carry`` from the second entry on, and, by dotted names, the fields in
    which the stage differs from the config.

    Args:
      config: Config whose stages :func:`experiments.training.checks.check_all` has validated.
    """
    entries = config.get("stages") or ()
    if not entries:
        return [StageConfig(config.num_steps, config, "")]
    stages = []
    for entry in entries:
        own = dict(derived.as_builtin(entry))
        until, carry = own.pop("until"), own.pop("carry", "")
        values = with_values(config, own)
        with values.unlocked():
            del values.stages
        stages.append(StageConfig(until, values, carry, tuple(own)))
    return stages
