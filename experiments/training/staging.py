"""The stages of a config."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten, with_values
from experiments.training import derived, named_parts
from jaxgan import hyper, stages
from jaxgan.errors import SetupError, unknown

# Fields that no stage has of its own.
OF_THE_RUN = (
    "checkpoint_every",
    "curves",
    "log_every",
    "num_steps",
    "parallel",
    "sample_every",
    "score",
    "seed",
)


class StageConfig(NamedTuple):
    """A stage as a config describes it.

    Attributes:
      until: its last step.
      config: all of the stage's fields, without ``stages``.
      carry: the name of the function that carries the state over from the stage before.
      own: dotted names of the fields and sections that the stage sets for itself.
    """

    until: int
    config: ConfigDict
    carry: str
    own: tuple[str, ...] = ()

    def with_values(self, values: Mapping[str, Any]) -> ConfigDict:
        """Returns the stage's config with a run's values, but for those that the stage sets itself."""

        def overlap(name: str, own: str) -> bool:
            return name == own or name.startswith(f"{own}.") or own.startswith(f"{name}.")

        kept = {
            name: value for name, value in values.items() if not any(overlap(name, own) for own in self.own)
        }
        return with_values(self.config, kept)


def stage_configs(config: ConfigDict) -> list[StageConfig]:
    """Returns the stages of a config: one, or as many as its field ``stages`` has entries.

    Each entry gives ``until``, the stage's last step, from the second on ``carry``, and by dotted names the
    fields that differ from the config's own.

    Raises:
      SetupError: the stages do not end in order at ``num_steps``, or an entry is malformed.
    """
    entries = config.get("stages") or ()
    if not isinstance(entries, list | tuple) or not all(hasattr(entry, "items") for entry in entries):
        raise SetupError(
            f"config field stages is {entries!r}: give a tuple of sections, each with until and its fields"
        )
    if not entries:
        return [StageConfig(config.num_steps, config, "")]
    found: list[StageConfig] = []
    known = flatten(config)
    for number, entry in enumerate(entries):
        entry = dict(derived.plain(entry))
        until, carry = entry.pop("until", None), entry.pop("carry", "")
        if not hyper.is_whole(until) or until <= (found[-1].until if found else 0):
            raise SetupError(
                f"config field stages: stage {number} has until {until!r}: give its last step,"
                " later than the stage's before"
            )
        if number and (not isinstance(carry, str) or carry not in stages.CARRIES):
            raise unknown(f"carry of stage {number}", carry, stages.CARRIES)
        for name in entry:
            if name.partition(".")[0] in OF_THE_RUN:
                raise SetupError(
                    f"config field stages: stage {number} has a {name}, which is the whole run's: leave it"
                    " out"
                )
            if name not in known and name.split(".")[0] not in (
                *named_parts.OPTIONAL,
                "gan",
                "models",
                "optimizers",
            ):
                raise unknown(f"field of stage {number}", name, known)
        values = with_values(config, entry)
        with values.unlocked():
            del values.stages
        found.append(StageConfig(until, values, carry, tuple(entry)))
    if found[-1].until != config.num_steps:
        raise SetupError(
            f"config field stages: the last stage ends at step {found[-1].until}, num_steps is"
            f" {config.num_steps}: give the same"
        )
    return found
