"""Validation of configs, before any data is opened."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import optax
from ml_collections import ConfigDict

from experiments.cli.config_fields import flatten
from experiments.training import derived, factories, named_parts, staging
from experiments.training.derived import sections
from jaxgan import hyper, latents, losses, regularizers, schedules
from jaxgan import penalties as penalties_module
from jaxgan.errors import SetupError, unknown
from jaxgan.steps import GAN

# Every config gives these, whatever its system.
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


def check(config: ConfigDict) -> None:
    """Refuses a config that cannot be trained, without opening its data.

    Raises:
      SetupError: a field is missing, or its value is out of range or unknown.
    """
    for name in SECTIONS:
        if name in config and not isinstance(config[name], ConfigDict):
            raise SetupError(f"config field {name} is {config[name]!r}: give a section of its fields")
    for section in ("models", "optimizers"):
        sections(config, section)
    fields = flatten(config)
    for name in REQUIRED:
        if name == "ema_decay" and "ema_decay" in config:
            fields = {**fields, name: config.ema_decay}
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
    factory = factories.factory_of(config)
    loss = ("loss",) if factories.takes(factory, "loss") else ()
    hyper.check_fields("gan", config.gan, factory, extra=("name", *loss))
    if loss and "loss" not in config.gan:
        raise SetupError(f"the config has no field gan.loss: system {config.gan.name} needs one")
    if loss and (not isinstance(config.gan.loss, str) or config.gan.loss not in losses.PAIRS):
        raise unknown("gan.loss", config.gan.loss, losses.PAIRS)
    derived.spec_of(config)
    _check_sections(config, factory)
    for name, values in sections(config, "penalties").items():
        _check_penalty(name, values)
    for name, values in sections(config, "augment").items():
        if name not in named_parts.AUGMENTATIONS:
            raise unknown("augment", name, named_parts.AUGMENTATIONS)
        hyper.check_fields(f"augment.{name}", values, named_parts.AUGMENTATIONS[name])
    if "pool" in config:
        if config.pool.get("name") not in named_parts.POOLS:
            raise unknown("pool.name", config.pool.get("name"), named_parts.POOLS)
        hyper.check_fields("pool", config.pool, named_parts.POOLS[config.pool.name], extra=("name",))
    for player in factories.players(factory):
        clip = config.optimizers[player].get("clip")
        if clip is not None:
            hyper.check_value(f"optimizers.{player}.clip", clip, hyper.kind_of(hyper.Positive))
        groups = config.optimizers[player].get("groups", ConfigDict())
        if not isinstance(groups, ConfigDict) or not all(
            isinstance(x, ConfigDict) for x in groups.values()
        ):
            raise SetupError(
                f"config field optimizers.{player}.groups is {groups!r}: give a section for each group"
            )
        if isinstance(rate := config.optimizers[player].get("learning_rate", 1.0), ConfigDict):
            schedules.build(rate.to_dict(), f"optimizers.{player}.learning_rate")
        else:
            hyper.check_value(f"optimizers.{player}.learning_rate", rate, hyper.kind_of(hyper.Number))
    check_remedies(config)


def _check_sections(config: ConfigDict, factory: Callable[..., GAN]) -> None:
    """Refuses a config that lacks what its system needs, or has what its system does not take."""
    wanted = factories.roles(factory)
    for role in wanted:
        if role not in config.get("models", {}) or "family" not in config.models[role]:
            raise SetupError(
                f"the config has no field models.{role}.family: system {config.gan.name} needs a {role}"
            )
    for role in config.models:
        if role not in wanted:
            raise SetupError(
                f"config field models.{role}: system {config.gan.name} has no {role}, give"
                f" {', '.join(wanted)}"
            )
    for player in factories.players(factory):
        if "name" not in config.get("optimizers", {}).get(player, {}):
            raise SetupError(f"the config has no field optimizers.{player}.name: every player has one")
    for player in config.get("optimizers", {}):
        if player not in factories.players(factory):
            raise SetupError(f"config field optimizers.{player}: system {config.gan.name} has no {player}")
    if factories.takes(factory, "prior"):
        for name in ("prior", "dim"):
            if name not in config.get("latent", {}):
                raise SetupError(
                    f"the config has no field latent.{name}: system {config.gan.name} draws latents"
                )
        for name in config.latent:
            if name not in ("prior", "dim"):
                raise unknown("latent field", name, ("prior", "dim"))
        if not isinstance(config.latent.prior, str) or config.latent.prior not in latents.PRIORS:
            raise unknown("latent.prior", config.latent.prior, latents.PRIORS)
        hyper.check_value("latent.dim", config.latent.dim, hyper.kind_of(hyper.Count))
    elif "latent" in config:
        raise SetupError(f"config field latent: system {config.gan.name} draws no latents, leave it out")
    if "critic" not in factories.players(factory) and config.n_critic > 0:
        raise SetupError(
            f"config field n_critic is {config.n_critic}: system {config.gan.name} has no critic, give 0"
        )
    if len(config.get("augment", {})) > 1:
        raise SetupError(f"config field augment has {', '.join(config.augment)}: give one of them")
    used = {name: x for name, x in sections(config, "penalties").items() if derived.switched_on(x)}
    for section, parameter, present in (
        ("penalties", "regularizers", used),
        ("augment", "augment", config.get("augment")),
        ("pool", "pool", config.get("pool")),
    ):
        if present and not factories.takes(factory, parameter):
            raise SetupError(
                f"config field {section}.{next(iter(present))}: system {config.gan.name} takes no {section}"
            )


def _check_penalty(name: str, values: ConfigDict) -> None:
    known = (*penalties_module.PENALTIES, named_parts.PATH_LENGTH)
    if name not in known:
        raise unknown("penalty", name, known)
    function: Callable[..., Any] = regularizers.path_length
    if name != named_parts.PATH_LENGTH:
        # The table's entries take any option, those they call do not: "r1" stands for r1_penalty.
        function = getattr(penalties_module, f"{name.removesuffix('_penalty')}_penalty")
    own = {field: value for field, value in values.items() if field not in ("weight", "every")}
    hyper.check_fields(f"penalties.{name}", own, function, extra=("weight", "every"))
    if "weight" not in values:
        raise SetupError(f"the config has no field penalties.{name}.weight: give 0 or more")
    hyper.check_value(f"penalties.{name}.weight", values.weight, hyper.kind_of(hyper.Scheduled))
    hyper.check_value(f"penalties.{name}.every", values.get("every", 1), hyper.kind_of(hyper.Count))


def check_all(config: ConfigDict) -> None:
    """Refuses a config of which a stage cannot be trained, without opening any data; see :func:`check`."""
    check(config)
    for stage in staging.stage_configs(config):
        check(stage.config)


def check_remedies(config: ConfigDict) -> None:
    """Refuses remedies that do not exist, lack a field, or cannot be combined with the rest of the config.

    Raises:
      SetupError: the message names the field.
    """
    chosen = derived.sections(config, "remedies")
    for name, values in chosen.items():
        hyper.check_fields(f"remedies.{name}", values, named_parts.remedy_of(name))
    matching = config.gan.get("feature_matching", False)
    for name in named_parts.PAIRS:
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
