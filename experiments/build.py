"""From a config to a system: what every field means is decided here, and checked before any work."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from experiments import remedies
from experiments.cli import flatten, with_values
from experiments.remedies import sections
from jaxgan import data, gans, hyper, latents, losses, optimizers, regularizers, schedules, stages, steps
from jaxgan import penalties as penalties_module
from jaxgan.errors import SetupError, unknown
from jaxgan.gans import passes
from jaxgan.models import FAMILIES, IMAGES_ONLY
from jaxgan.state import GANState
from jaxgan.steps import GAN
from jaxgan.views import noise
from jaxgan.views import pool as pools

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
# Fields and sections that a config may lack.
OPTIONAL = (
    "accumulate",
    "augment",
    "curves",
    "parallel",
    "penalties",
    "pool",
    "remedies",
    "score",
    "stages",
)

SECTIONS = ("data", "gan", "latent", "models", "optimizers", "pool", "score")

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

# What models compute in; parameters, moments, losses and samples are float32 in either.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
PARALLEL = ("jit", "pmap")

PATH_LENGTH = "path_length"  # the one penalty that is on the generator
AUGMENTATIONS: Mapping[str, Callable[..., Any]] = {"instance_noise": noise.instance_noise}
POOLS: Mapping[str, Callable[..., pools.Pool]] = {"replay": pools.replay, "history": pools.history}


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
    known = {*(name.partition(".")[0] for name in REQUIRED), *OPTIONAL, "latent", "models", "optimizers"}
    for name in config:
        if name not in known:
            raise unknown("config field", name, known)
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SetupError(f"config field {name} is {value}: give a finite number")
    for name, annotation in REQUIRED.items():
        hyper.check_value(name, fields[name], hyper.kind_of(annotation))
    hyper.check_value("data.seed", data_seed(config), hyper.kind_of(hyper.Seed))
    ema_decay(config)
    if config.dtype not in DTYPES:
        raise unknown("dtype", config.dtype, DTYPES)
    hyper.check_value("accumulate", config.get("accumulate", 1), hyper.kind_of(hyper.Count))
    if config.get("parallel", "jit") not in PARALLEL:
        raise unknown("parallel", config.parallel, PARALLEL)
    factory = factory_of(config)
    loss = ("loss",) if takes(factory, "loss") else ()
    hyper.check_fields("gan", config.gan, factory, extra=("name", *loss))
    if loss and "loss" not in config.gan:
        raise SetupError(f"the config has no field gan.loss: system {config.gan.name} needs one")
    if loss and (not isinstance(config.gan.loss, str) or config.gan.loss not in losses.PAIRS):
        raise unknown("gan.loss", config.gan.loss, losses.PAIRS)
    spec_of(config)
    _check_sections(config, factory)
    for name, values in sections(config, "penalties").items():
        _check_penalty(name, values)
    for name, values in sections(config, "augment").items():
        if name not in AUGMENTATIONS:
            raise unknown("augment", name, AUGMENTATIONS)
        hyper.check_fields(f"augment.{name}", values, AUGMENTATIONS[name])
    if "pool" in config:
        if config.pool.get("name") not in POOLS:
            raise unknown("pool.name", config.pool.get("name"), POOLS)
        hyper.check_fields("pool", config.pool, POOLS[config.pool.name], extra=("name",))
    for player in players(factory):
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
    remedies.check(config)


def _check_sections(config: ConfigDict, factory: Callable[..., GAN]) -> None:
    """Refuses a config that lacks what its system needs, or has what its system does not take."""
    wanted = roles(factory)
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
    for player in players(factory):
        if "name" not in config.get("optimizers", {}).get(player, {}):
            raise SetupError(f"the config has no field optimizers.{player}.name: every player has one")
    for player in config.get("optimizers", {}):
        if player not in players(factory):
            raise SetupError(f"config field optimizers.{player}: system {config.gan.name} has no {player}")
    if takes(factory, "prior"):
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
    if "critic" not in players(factory) and config.n_critic > 0:
        raise SetupError(
            f"config field n_critic is {config.n_critic}: system {config.gan.name} has no critic, give 0"
        )
    if len(config.get("augment", {})) > 1:
        raise SetupError(f"config field augment has {', '.join(config.augment)}: give one of them")
    used = {name: x for name, x in sections(config, "penalties").items() if _switched_on(x)}
    for section, parameter, present in (
        ("penalties", "regularizers", used),
        ("augment", "augment", config.get("augment")),
        ("pool", "pool", config.get("pool")),
    ):
        if present and not takes(factory, parameter):
            raise SetupError(
                f"config field {section}.{next(iter(present))}: system {config.gan.name} takes no {section}"
            )


def _check_penalty(name: str, values: ConfigDict) -> None:
    known = (*penalties_module.PENALTIES, PATH_LENGTH)
    if name not in known:
        raise unknown("penalty", name, known)
    function: Callable[..., Any] = regularizers.path_length
    if name != PATH_LENGTH:
        # The table's entries take any option, those they call do not: "r1" stands for r1_penalty.
        function = getattr(penalties_module, f"{name.removesuffix('_penalty')}_penalty")
    own = {field: value for field, value in values.items() if field not in ("weight", "every")}
    hyper.check_fields(f"penalties.{name}", own, function, extra=("weight", "every"))
    if "weight" not in values:
        raise SetupError(f"the config has no field penalties.{name}.weight: give 0 or more")
    hyper.check_value(f"penalties.{name}.weight", values.weight, hyper.kind_of(hyper.Scheduled))
    hyper.check_value(f"penalties.{name}.every", values.get("every", 1), hyper.kind_of(hyper.Count))


def _switched_on(penalty: ConfigDict) -> bool:
    # A traced weight is one of a population's; a weight of 0 leaves its penalty out of the program.
    weight = penalty.get("weight")
    return isinstance(weight, jax.Array | ConfigDict) or bool(weight)


def traceable(config: ConfigDict) -> set[str]:
    """Returns the names of a config's numbers that only enter arithmetic, which a population may trace.

    They are the seed, and the floats that a function's signature declares as traced. A weight of 0 leaves
    its penalty out of the program, and is part of the program's shape.
    """
    taking: dict[str, Callable[..., Any]] = {"gan": factory_of(config)}
    for name in config.get("augment", {}):
        taking[f"augment.{name}"] = AUGMENTATIONS[name]
    if "pool" in config:
        taking["pool"] = POOLS[config.pool.name]
    for name in config.get("remedies", {}):
        taking[f"remedies.{name}"] = remedies.function_of(name)
    names = {"seed", "ema_decay"}
    for section, function in taking.items():
        names |= {f"{section}.{name}" for name, kind in hyper.kinds(function).items() if kind.traced}
    found = set()
    for name, value in flatten(config).items():
        section = name.rpartition(".")[0]
        penalty = section.startswith("penalties.") and section.count(".") == 1 and value != 0
        optimizer = section.startswith("optimizers.") and section.count(".") == 1
        if name == "seed" or (
            isinstance(value, float) and value != 0 and (name in names or penalty or optimizer)
        ):
            found.add(name)
    return found


def ema_decay(config: ConfigDict) -> Any:
    """Returns the decay of the averages, a number or a schedule of the step."""
    return schedules.build(_plain(config.ema_decay), "ema_decay")


def data_seed(config: ConfigDict) -> int:
    """Returns the seed of the batches: ``data.seed`` where a config gives one, for runs to share."""
    return config.data.get("seed", config.seed)


def spec_of(config: ConfigDict) -> data.Spec:
    """Returns what is known of a config's data before it is opened.

    Raises:
      SetupError: there are no such data, or they lack a field such as their size.
    """
    return data.open_spec(**config.data)


def _network(config: ConfigDict, role: str, spec: data.Spec) -> nn.Module:
    values = config.models[role]
    if values.family not in FAMILIES:
        raise unknown(f"models.{role}.family", values.family, FAMILIES)
    family = FAMILIES[values.family]
    if role not in family:
        having = [name for name, roles in FAMILIES.items() if role in roles]
        raise SetupError(
            f"models.{role}.family {values.family} has no {role}: give {' or '.join(having) or 'another'}"
        )
    cls = family[role]
    known = [f.name for f in dataclasses.fields(cls)]
    # What follows from the rest of the config; a network takes what it has fields for.
    given: dict[str, Any] = {
        "shape": spec.shape,
        "dtype": DTYPES[config.dtype],
        "classes": spec.classes,
        "latent_dim": config.get("latent", {}).get("dim"),
    }
    if spec.images:
        given |= {"size": spec.shape[0], "channels": spec.shape[-1]}
    elif values.family in IMAGES_ONLY:
        raise SetupError(
            f"models.{role}.family {values.family} makes images, data.name {config.data.name} has points"
        )
    names = [name for name in known if name not in ("parent", "name", *given)]
    options = {name: value for name, value in values.items() if name != "family"}
    for name in options:
        if name not in names:
            raise unknown(f"models.{role} field", name, ["family", *names])
    if "classes" in known and spec.classes is None:
        raise SetupError(
            f"models.{role}.family {values.family} needs labels, data.name {config.data.name} has none"
        )
    return cls(**options, **{name: value for name, value in given.items() if name in known})


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, ConfigDict) else value


def _optimizer(config: ConfigDict, role: str) -> Any:
    values = {name: _plain(value) for name, value in config.optimizers[role].items()}
    try:
        return optimizers.build(**values)
    except SetupError as error:
        raise SetupError(f"config.optimizers.{role}: {error}") from error


def _regularizers(config: ConfigDict) -> dict[str, regularizers.Regularizer]:
    found = {}
    for name, values in config.get("penalties", {}).items():
        if not _switched_on(values):
            continue
        own = {field: value for field, value in values.items() if field not in ("weight", "every")}
        weight = schedules.build(_plain(values.weight), f"penalties.{name}.weight")
        if name == PATH_LENGTH:
            term = regularizers.path_length(weight=weight, **own)
        else:
            term = regularizers.penalty(name, weight=weight, **own)
        found[name] = regularizers.every(values.get("every", 1), term)
    return found


def build(config: ConfigDict) -> GAN:
    """Builds the system that a config describes.

    Args:
      config: checked by :func:`check`; of a run of stages, that of one of them.

    Returns:
      The system.

    Raises:
      SetupError: the config names something that does not exist or cannot be combined.
    """
    factory, spec = factory_of(config), spec_of(config)
    arguments: dict[str, Any] = {role: _network(config, role, spec) for role in roles(factory)}
    for player in players(factory):
        arguments[f"{player}_tx"] = _optimizer(config, player)
    if takes(factory, "prior"):
        arguments["prior"] = functools.partial(latents.PRIORS[config.latent.prior], dim=config.latent.dim)
    if takes(factory, "spec"):
        arguments["spec"] = spec
    if takes(factory, "loss"):
        arguments["loss"] = remedies.on_pair(config, losses.get(config.gan.loss))
    if takes(factory, "regularizers"):
        arguments["regularizers"] = _regularizers(config)
    chosen = [AUGMENTATIONS[name](**values) for name, values in config.get("augment", {}).items()]
    if chosen:
        arguments["augment"] = chosen[0]
    if "pool" in config:
        own = {name: value for name, value in config.pool.items() if name != "name"}
        arguments["pool"] = POOLS[config.pool.name](**own)
    for name, value in config.gan.items():
        if name not in ("name", "loss"):
            arguments[name] = schedules.build(_plain(value), f"gan.{name}")
    gan = remedies.on_game(config, factory(**arguments))
    # Shapes only: what cannot be built or combined is refused here, before any data is opened.
    state = jax.eval_shape(initializer(config, gan))
    steps.check_accumulate(gan, state, config.batch_size, config.get("accumulate", 1), passes.MIXING)
    return gan


def initializer(config: ConfigDict, gan: GAN) -> Callable[[], GANState]:
    """Returns the function of nothing that makes a first state on a batch of zeros: for its shapes."""
    return functools.partial(gan.init, jax.random.key(config.seed), spec_of(config).zeros(1, 1))


def first_state(config: ConfigDict, gan: GAN, source: data.Source) -> Callable[[], GANState]:
    """Returns the function of nothing that makes a stage's first state, on the batch of step 0."""
    stream = source.batches(
        seed=data_seed(config), n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )
    raw = stream[0]
    return lambda: gan.init(jax.random.key(config.seed), source.prepare(raw))


def check_all(config: ConfigDict) -> None:
    """Refuses a config of which a stage cannot be trained, without opening any data; see :func:`check`."""
    check(config)
    for stage in stage_configs(config):
        check(stage.config)


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
        entry = dict(_plain(entry))
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
            if name not in known and name.split(".")[0] not in (*OPTIONAL, "gan", "models", "optimizers"):
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
