"""Validation of the sections of a config, one function per section."""

import dataclasses
import inspect
from collections.abc import Callable, Collection

from ml_collections import ConfigDict

from experiments.training import derived, factories, named_parts
from jaxgan import data, hyper, latents, losses, optimizers, schedules
from jaxgan.errors import SetupError, unknown
from jaxgan.models import FAMILIES, IMAGES_ONLY
from jaxgan.steps import GAN

Factory = Callable[..., GAN]


def subsections(config: ConfigDict, name: str) -> ConfigDict:
    """Returns a section that consists of named sections, such as ``models``; empty if the config lacks it.

    Raises:
      SetupError: The field is not a section, or one of its fields is not.
    """
    section = config.get(name, ConfigDict())
    if not isinstance(section, ConfigDict):
        raise SetupError(f"config field {name} is {section!r}: give a section of them by name")
    for field, value in section.items():
        if not isinstance(value, ConfigDict):
            raise SetupError(f"config field {name}.{field} is {value!r}: give a section of its fields")
    return section


def check_system(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``gan``, and ``n_critic`` for a system without a critic.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: A field is unknown, missing or out of range.
    """
    loss = ("loss",) if factories.takes(factory, "loss") else ()
    hyper.check_fields("gan", config.gan, factory, extra=("name", *loss))
    if loss and "loss" not in config.gan:
        raise SetupError(f"the config has no field gan.loss: system {config.gan.name} needs one")
    if loss and (not isinstance(config.gan.loss, str) or config.gan.loss not in losses.PAIRS):
        raise unknown("gan.loss", config.gan.loss, losses.PAIRS)
    if "critic" not in factories.players(factory) and config.n_critic > 0:
        raise SetupError(
            f"config field n_critic is {config.n_critic}: system {config.gan.name} has no critic, give 0"
        )


def check_models(config: ConfigDict, factory: Factory, spec: data.Spec) -> None:
    """Validates section ``models``: one network for each role of the system.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.
      spec: Spec of its data.

    Raises:
      SetupError: A role is missing or unknown, or a network cannot be built from its fields.
    """
    models, roles = subsections(config, "models"), factories.roles(factory)
    for role in roles:
        if role not in models or "family" not in models[role]:
            raise SetupError(
                f"the config has no field models.{role}.family: system {config.gan.name} needs a {role}"
            )
    for role in models:
        if role not in roles:
            raise SetupError(
                f"config field models.{role}: system {config.gan.name} has no {role}, give"
                f" {', '.join(roles)}"
            )
    for role in roles:
        _check_network(config, role, spec)


def _check_network(config: ConfigDict, role: str, spec: data.Spec) -> None:
    values = config.models[role]
    name = values.family
    if not isinstance(name, str) or name not in FAMILIES:
        raise unknown(f"models.{role}.family", name, FAMILIES)
    if role not in FAMILIES[name]:
        having = [family for family, networks in FAMILIES.items() if role in networks]
        raise SetupError(
            f"models.{role}.family {name} has no {role}: give {' or '.join(having) or 'another'}"
        )
    if name in IMAGES_ONLY and not spec.images:
        raise SetupError(
            f"models.{role}.family {name} makes images, data.name {config.data.name} has points"
        )
    known = [field.name for field in dataclasses.fields(FAMILIES[name][role])]
    given = ("parent", "name", *derived.network_fields(config, spec))
    own = ["family", *(field for field in known if field not in given)]
    for field in values:
        if field not in own:
            raise unknown(f"models.{role} field", field, own)
    if "classes" in known and spec.classes is None:
        raise SetupError(
            f"models.{role}.family {name} needs labels, {derived.without_classes(config, spec)}"
        )


def check_optimizers(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``optimizers``: one optimiser for each player of the system.

    The optimiser's own arguments are checked when it is built.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: A player is missing or unknown, or a field of its optimiser is out of range.
    """
    chosen, players = subsections(config, "optimizers"), factories.players(factory)
    for player in players:
        if "name" not in chosen.get(player, {}):
            raise SetupError(f"the config has no field optimizers.{player}.name: every player has one")
    for player in chosen:
        if player not in players:
            raise SetupError(f"config field optimizers.{player}: system {config.gan.name} has no {player}")
    for player in players:
        _check_optimizer(f"optimizers.{player}", chosen[player])


def _check_optimizer(section: str, values: ConfigDict) -> None:
    if values.get("clip") is not None:
        hyper.check_value(f"{section}.clip", values.clip, hyper.kind_of(hyper.Positive))
    groups = values.get("groups", ConfigDict())
    if not isinstance(groups, ConfigDict) or not all(isinstance(x, ConfigDict) for x in groups.values()):
        raise SetupError(f"config field {section}.groups is {groups!r}: give a section for each group")
    rate = values.get("learning_rate", 1.0)
    if isinstance(rate, ConfigDict):
        schedules.build(rate.to_dict(), f"{section}.learning_rate")
    else:
        hyper.check_value(f"{section}.learning_rate", rate, hyper.kind_of(hyper.Number))


def check_latent(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``latent``, which systems with a prior need and other systems refuse.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: The section is missing or superfluous, or a field of it is missing or out of range.
    """
    if not factories.takes(factory, "prior"):
        if "latent" in config:
            raise SetupError(
                f"config field latent: system {config.gan.name} draws no latents, leave it out"
            )
        return
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


def check_penalties(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``penalties``.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: The system takes no penalties, or a penalty or one of its fields is invalid.
    """
    chosen = subsections(config, "penalties")
    weighted = [name for name, values in chosen.items() if derived.has_weight(values)]
    _check_taken(config, factory, "penalties", "regularizers", weighted)
    extra = ("weight", "every")  # Fields of every penalty, whatever its function.
    for name, values in chosen.items():
        if name not in named_parts.PENALTIES:
            raise unknown("penalty", name, named_parts.PENALTIES)
        own = {field: value for field, value in values.items() if field not in extra}
        hyper.check_fields(f"penalties.{name}", own, named_parts.PENALTIES[name], extra=extra)
        if "weight" not in values:
            raise SetupError(f"the config has no field penalties.{name}.weight: give 0 or more")
        hyper.check_value(f"penalties.{name}.weight", values.weight, hyper.kind_of(hyper.Scheduled))
        hyper.check_value(f"penalties.{name}.every", values.get("every", 1), hyper.kind_of(hyper.Count))


def check_augment(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``augment``, which has at most one augmentation.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: The system takes no augmentation, or there are several, or one of its fields is invalid.
    """
    chosen = subsections(config, "augment")
    if len(chosen) > 1:
        raise SetupError(f"config field augment has {', '.join(chosen)}: give one of them")
    _check_taken(config, factory, "augment", "augment", chosen)
    for name, values in chosen.items():
        if name not in named_parts.AUGMENTATIONS:
            raise unknown("augment", name, named_parts.AUGMENTATIONS)
        hyper.check_fields(f"augment.{name}", values, named_parts.AUGMENTATIONS[name])


def check_pool(config: ConfigDict, factory: Factory) -> None:
    """Validates section ``pool``.

    Args:
      config: Config of a run or a stage.
      factory: Factory of its system.

    Raises:
      SetupError: The system takes no pool, or a field of it is unknown, missing or out of range.
    """
    if "pool" not in config:
        return
    _check_taken(config, factory, "pool", "pool", config.pool)
    name = config.pool.get("name")
    if not isinstance(name, str) or name not in named_parts.POOLS:
        raise unknown("pool.name", name, named_parts.POOLS)
    hyper.check_fields("pool", config.pool, named_parts.POOLS[name], extra=("name",))


def _check_taken(
    config: ConfigDict, factory: Factory, section: str, parameter: str, names: Collection[str]
) -> None:
    """Refuses a section with any of the given fields if the factory lacks the parameter for it."""
    if names and not factories.takes(factory, parameter):
        raise SetupError(
            f"config field {section}.{next(iter(names))}: system {config.gan.name} takes no {section}"
        )


def check_remedies(config: ConfigDict) -> None:
    """Validates section ``remedies`` and its combination with the rest of the config.

    Args:
      config: Config of a run or a stage, whose other sections are valid.

    Raises:
      SetupError: A remedy is unknown, one of its fields is invalid, or it cannot be combined with the rest.
    """
    chosen = subsections(config, "remedies")
    for name, values in chosen.items():
        hyper.check_fields(f"remedies.{name}", values, named_parts.remedy_of(name))
    for name in named_parts.LOSS_REMEDIES:
        if name in chosen and "loss" not in config.gan:
            raise SetupError(
                f"config field remedies.{name} changes a loss of logits, system {config.gan.name} has none"
            )
    if "top_k" in chosen and config.gan.get("feature_matching", False):
        raise SetupError(
            "config field remedies.top_k does nothing beside gan.feature_matching, another loss for the"
            " generator: leave one out"
        )
    if "unrolled" in chosen and "critic" in config.optimizers:
        critic = config.optimizers.critic
        root = critic.get("eps_root", 0)
        if _takes_eps_root(critic.name) and not (hyper.is_number(root) and root > 0):
            raise SetupError(
                f"config field optimizers.critic.eps_root is {root!r}, and remedies.unrolled takes the"
                f" derivative of {critic.name}'s √: give a small number, such as 1e-8"
            )


def _takes_eps_root(optimizer: str) -> bool:
    make = optimizers.OPTIMIZERS.get(optimizer)
    return make is not None and "eps_root" in inspect.signature(make).parameters
