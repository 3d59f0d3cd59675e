"""Builds the system that a config describes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from experiments.training import derived, factories, named_parts, staging
from jaxgan import data, latents, losses, optimizers, regularizers, schedules, steps
from jaxgan.errors import SetupError, unknown
from jaxgan.gans import passes
from jaxgan.losses import LossPair
from jaxgan.models import FAMILIES, IMAGES_ONLY
from jaxgan.stages import CARRIES
from jaxgan.state import GANState
from jaxgan.steps import GAN


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
        "dtype": named_parts.DTYPES[config.dtype],
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


def _optimizer(config: ConfigDict, role: str) -> Any:
    values = {name: derived.plain(value) for name, value in config.optimizers[role].items()}
    try:
        return optimizers.build(**values)
    except SetupError as error:
        raise SetupError(f"config.optimizers.{role}: {error}") from error


def _regularizers(config: ConfigDict) -> dict[str, regularizers.Regularizer]:
    found = {}
    for name, values in config.get("penalties", {}).items():
        if not derived.switched_on(values):
            continue
        own = {field: value for field, value in values.items() if field not in ("weight", "every")}
        weight = schedules.build(derived.plain(values.weight), f"penalties.{name}.weight")
        if name == named_parts.PATH_LENGTH:
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
    factory, spec = factories.factory_of(config), derived.spec_of(config)
    arguments: dict[str, Any] = {role: _network(config, role, spec) for role in factories.roles(factory)}
    for player in factories.players(factory):
        arguments[f"{player}_tx"] = _optimizer(config, player)
    if factories.takes(factory, "prior"):
        arguments["prior"] = functools.partial(latents.PRIORS[config.latent.prior], dim=config.latent.dim)
    if factories.takes(factory, "spec"):
        arguments["spec"] = spec
    if factories.takes(factory, "loss"):
        arguments["loss"] = on_pair(config, losses.get(config.gan.loss))
    if factories.takes(factory, "regularizers"):
        arguments["regularizers"] = _regularizers(config)
    chosen = [
        named_parts.AUGMENTATIONS[name](**values) for name, values in config.get("augment", {}).items()
    ]
    if chosen:
        arguments["augment"] = chosen[0]
    if "pool" in config:
        own = {name: value for name, value in config.pool.items() if name != "name"}
        arguments["pool"] = named_parts.POOLS[config.pool.name](**own)
    for name, value in config.gan.items():
        if name not in ("name", "loss"):
            arguments[name] = schedules.build(derived.plain(value), f"gan.{name}")
    gan = on_game(config, factory(**arguments))
    # Shapes only: what cannot be built or combined is refused here, before any data is opened.
    state = jax.eval_shape(initializer(config, gan))
    steps.check_accumulate(gan, state, config.batch_size, config.get("accumulate", 1), passes.MIXING)
    return gan


def initializer(config: ConfigDict, gan: GAN) -> Callable[[], GANState]:
    """Returns the function of nothing that makes a first state on a batch of zeros: for its shapes."""
    return functools.partial(gan.init, jax.random.key(config.seed), derived.spec_of(config).zeros(1, 1))


def first_state(config: ConfigDict, gan: GAN, source: data.Source) -> Callable[[], GANState]:
    """Returns the function of nothing that makes a stage's first state, on the batch of step 0."""
    stream = source.batches(
        seed=derived.data_seed(config), n_critic=max(config.n_critic, 1), batch_size=config.batch_size
    )
    raw = stream[0]
    return lambda: gan.init(jax.random.key(config.seed), source.prepare(raw))


def on_pair(config: ConfigDict, pair: LossPair) -> LossPair | Callable[[jax.Array], LossPair]:
    """The pair, or pair at each step, after the config's remedies."""
    chosen = config.get("remedies", {})
    changed: LossPair | Callable[[jax.Array], LossPair] = pair
    for name, remedy in named_parts.PAIRS.items():
        if name in chosen:
            try:
                changed = remedy(changed, **chosen[name])
            except SetupError as error:
                raise SetupError(f"config field remedies.{name}: {error}") from error
    return changed


def on_game(config: ConfigDict, gan: GAN) -> GAN:
    """The system after the config's remedies."""
    chosen = config.get("remedies", {})
    for name, remedy in named_parts.GAMES.items():
        if name in chosen:
            gan = remedy(gan, **chosen[name])
    return gan


def check_carries(stages: list[staging.StageConfig], gans: list[GAN]) -> None:
    """Refuses stages whose states cannot be carried over; it looks at shapes alone."""
    shapes = [jax.eval_shape(initializer(x.config, gan)) for x, gan in zip(stages, gans, strict=True)]
    for number in range(1, len(stages)):
        jax.eval_shape(CARRIES[stages[number].carry], shapes[number - 1], shapes[number])
