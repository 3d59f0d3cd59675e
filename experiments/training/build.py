"""Construction of the system that a config describes."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from ml_collections import ConfigDict

from experiments.training import derived, factories, named_parts, staging
from jaxgan import data, latents, losses, optimizers, parallel, regularizers, schedules, steps
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.losses import LossPair
from jaxgan.models import FAMILIES
from jaxgan.stages import CARRIES
from jaxgan.state import GANState
from jaxgan.steps import GAN


def build(config: ConfigDict) -> GAN:
    """Builds the system that a config describes.

    Args:
      config: Config of a run of one stage, or of one stage of a run, which
        :func:`experiments.training.checks.check` has validated. Its numbers may be traced.

    Returns:
      The system.

    Raises:
      SetupError: A part cannot be built from its fields, or parts cannot be combined.
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
        arguments["loss"] = _with_loss_remedies(config, losses.get(config.gan.loss))
    if factories.takes(factory, "regularizers"):
        arguments["regularizers"] = _regularizers(config)
    for name, values in config.get("augment", {}).items():
        arguments["augment"] = named_parts.AUGMENTATIONS[name](**values)
    if "pool" in config:
        options = {name: value for name, value in config.pool.items() if name != "name"}
        arguments["pool"] = named_parts.POOLS[config.pool.name](**options)
    for name, value in config.gan.items():
        if name not in ("name", "loss"):
            arguments[name] = schedules.build(derived.as_builtin(value), f"gan.{name}")
    gan = _with_gan_remedies(config, factory(**arguments))
    if "labels" in gan.reads and spec.classes is None:
        raise SetupError(
            f"gan.name {config.gan.name} needs labels, {derived.without_classes(config, spec)}"
        )
    # Computing the shapes of the state finds networks that cannot be built before any data is opened.
    state = jax.eval_shape(initializer(config, gan))
    steps.check_accumulate(gan, state, config.batch_size, config.get("accumulate", 1), passes.MIXING)
    return gan


def _network(config: ConfigDict, role: str, spec: data.Spec) -> nn.Module:
    options = dict(config.models[role])
    network = FAMILIES[options.pop("family")][role]
    known = {field.name for field in dataclasses.fields(network)}
    given = derived.network_fields(config, spec)
    return network(**options, **{name: value for name, value in given.items() if name in known})


def _optimizer(config: ConfigDict, player: str) -> Any:
    values = {name: derived.as_builtin(value) for name, value in config.optimizers[player].items()}
    try:
        return optimizers.build(**values)
    except SetupError as error:
        raise SetupError(f"config.optimizers.{player}: {error}") from error


def _regularizers(config: ConfigDict) -> dict[str, regularizers.Regularizer]:
    terms = {}
    for name, values in config.get("penalties", {}).items():
        if not derived.has_weight(values):
            continue
        options = {field: value for field, value in values.items() if field not in ("weight", "every")}
        weight = schedules.build(derived.as_builtin(values.weight), f"penalties.{name}.weight")
        if name in named_parts.GENERATOR_PENALTIES:
            term = named_parts.GENERATOR_PENALTIES[name](weight=weight, **options)
        else:
            term = regularizers.penalty(name, weight=weight, **options)
        terms[name] = regularizers.every(values.get("every", 1), term)
    return terms


def _with_loss_remedies(config: ConfigDict, pair: LossPair) -> LossPair | Callable[[jax.Array], LossPair]:
    """Applies the config's remedies on losses, which may make the pair a function of the step."""
    chosen = config.get("remedies", {})
    changed: LossPair | Callable[[jax.Array], LossPair] = pair
    for name, remedy in named_parts.LOSS_REMEDIES.items():
        if name in chosen:
            try:
                changed = remedy(changed, **chosen[name])
            except SetupError as error:
                raise SetupError(f"config field remedies.{name}: {error}") from error
    return changed


def _with_gan_remedies(config: ConfigDict, gan: GAN) -> GAN:
    """Applies the config's remedies on systems."""
    chosen = config.get("remedies", {})
    for name, remedy in named_parts.GAN_REMEDIES.items():
        if name in chosen:
            gan = remedy(gan, **chosen[name])
    return gan


def initializer(config: ConfigDict, gan: GAN) -> Callable[[], GANState]:
    """Returns a function that initialises a state on a batch of zeros, for use with ``jax.eval_shape``.

    Args:
      config: Config of the stage.
      gan: System that was built from the config.
    """
    return functools.partial(gan.init, jax.random.key(config.seed), derived.spec_of(config).zeros(1, 1))


def first_state(config: ConfigDict, gan: GAN, source: data.Source) -> Callable[[], GANState]:
    """Returns a function that initialises the first state of a stage on the batch of step 0.

    Args:
      config: Config of the stage.
      gan: System that was built from the config.
      source: Open data of the stage.
    """
    # All processes initialise on the global batch, because networks may start from the batch's moments.
    raw = parallel.gather_batch(derived.batch_stream(config, source)[0])
    return lambda: gan.init(jax.random.key(config.seed), source.prepare(raw))


def check_carries(stages: list[staging.StageConfig], gans: list[GAN]) -> None:
    """Validates that each stage's state can be carried over to the next; only shapes are computed.

    Args:
      stages: Stages of a run.
      gans: Their systems.
    """
    shapes = [jax.eval_shape(initializer(x.config, gan)) for x, gan in zip(stages, gans, strict=True)]
    for number in range(1, len(stages)):
        jax.eval_shape(CARRIES[stages[number].carry], shapes[number - 1], shapes[number])
