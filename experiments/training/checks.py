"""Validation of configs, before any data is opened."""

import math
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten
from experiments.training import derived, factories, named_parts, section_checks, staging
from jaxgan import hyper
from jaxgan.errors import SetupError, unknown
from jaxgan.stages import CARRIES

# Fields that every config has, whatever its system.
REQUIRED: Mapping[str, Any] = {
    "num_steps": hyper.Count,
    "batch_size": hyper.Count,
    "seed": hyper.Seed,
    "n_critic": hyper.Whole,
    "dtype": hyper.Text,
    "ema_decay": hyper.ScheduledDecay,
    "log_every": hyper.Count,
    "sample_every": hyper.Count,
    "checkpoint_every": hyper.Count,
    "data.name": hyper.Text,
    "gan.name": hyper.Text,
}
SECTIONS = ("data", "gan", "latent", "models", "optimizers", "pool", "score")
# Fields that belong to the whole run, and that no stage sets itself.
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


def check_all(config: ConfigDict) -> None:
    """Validates a config and all of its stages, without opening any data.

    Args:
      config: Config of a run.

    Raises:
      SetupError: The config or a stage of it cannot be trained. The message names the field.
    """
    check(config)
    check_stages(config)
    for stage in staging.stage_configs(config):
        check(stage.config)


def check(config: ConfigDict) -> None:
    """Validates a config, apart from its field ``stages``, without opening any data.

    Args:
      config: Config of a run or a stage.

    Raises:
      SetupError: A field is missing or unknown, or its value is out of range. The message names the field.
    """
    _check_fields(config)
    factory = factories.factory_of(config)
    section_checks.check_system(config, factory)
    spec = derived.spec_of(config)
    section_checks.check_models(config, factory, spec)
    section_checks.check_latent(config, factory)
    section_checks.check_optimizers(config, factory)
    section_checks.check_penalties(config, factory)
    section_checks.check_augment(config, factory)
    section_checks.check_pool(config, factory)
    section_checks.check_remedies(config)


def _check_fields(config: ConfigDict) -> None:
    """Validates the fields that do not depend on the system."""
    for name in SECTIONS:
        if name in config and not isinstance(config[name], ConfigDict):
            raise SetupError(f"config field {name} is {config[name]!r}: give a section of its fields")
    for name in ("models", "optimizers"):
        section_checks.subsections(config, name)
    fields = flatten(config)
    if "ema_decay" in config:
        fields = {**fields, "ema_decay": config.ema_decay}  # It may be a schedule, which is a section.
    for name in REQUIRED:
        if name not in fields:
            raise SetupError(f"the config has no field {name}: every config gives one")
    known = {
        *(name.partition(".")[0] for name in REQUIRED),
        *named_parts.OPTIONAL,
        "latent",
        "models",
        "optimizers",
    }
    for name in config:
        if name not in known:
            raise unknown("config field", name, known)
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SetupError(f"config field {name} is {value}: give a finite number")
    for name, annotation in REQUIRED.items():
        hyper.check_value(name, fields[name], hyper.kind_of(annotation))
    hyper.check_value("data.seed", derived.data_seed(config), hyper.kind_of(hyper.Seed))
    derived.ema_decay(config)
    if config.dtype not in named_parts.DTYPES:
        raise unknown("dtype", config.dtype, named_parts.DTYPES)
    hyper.check_value("accumulate", config.get("accumulate", 1), hyper.kind_of(hyper.Count))
    if config.get("parallel", "jit") not in named_parts.PARALLEL:
        raise unknown("parallel", config.parallel, named_parts.PARALLEL)


def check_stages(config: ConfigDict) -> None:
    """Validates the field ``stages`` of a config; see :func:`experiments.training.staging.stage_configs`.

    Args:
      config: Config of a run.

    Raises:
      SetupError: The last steps of the stages do not ascend to ``num_steps``, or an entry is malformed.
    """
    entries = config.get("stages") or ()
    if not isinstance(entries, list | tuple) or not all(hasattr(entry, "items") for entry in entries):
        raise SetupError(
            f"config field stages is {entries!r}: give a tuple of sections, each with until and its fields"
        )
    known, last = flatten(config), 0
    for number, entry in enumerate(entries):
        fields = dict(derived.as_builtin(entry))
        until, carry = fields.pop("until", None), fields.pop("carry", "")
        if not hyper.is_whole(until) or until <= last:
            raise SetupError(
                f"config field stages: stage {number} has until {until!r}: give its last step,"
                " later than that of the stage before"
            )
        last = until
        if number and (not isinstance(carry, str) or carry not in CARRIES):
            raise unknown(f"carry of stage {number}", carry, CARRIES)
        if not number and carry:
            raise SetupError(
                f"config field stages: stage 0 has a carry {carry!r}, but no stage comes before it: leave"
                " it out"
            )
        for name in fields:
            if not isinstance(name, str):
                raise SetupError(f"config field stages: stage {number} has a field {name!r}: give a name")
            section = name.partition(".")[0]
            if any(name.startswith(f"{field}.") and value != {} for field, value in known.items()):
                raise unknown(f"field of stage {number}", name, known)  # below a field that is no section
            if section in OF_THE_RUN:
                raise SetupError(
                    f"config field stages: stage {number} has a {name}, which is the whole run's: leave it"
                    " out"
                )
            if name not in known and section not in (*named_parts.OPTIONAL, "gan", "models", "optimizers"):
                raise unknown(f"field of stage {number}", name, known)
    if entries and last != config.num_steps:
        raise SetupError(
            f"config field stages: the last stage ends at step {last}, num_steps is"
            f" {config.num_steps}: give the same"
        )
