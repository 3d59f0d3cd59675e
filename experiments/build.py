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
from experiments.cli import flatten
from experiments.remedies import is_number, is_whole, sections
from jaxgan import data, latents, losses, optimizers, penalties
from jaxgan.errors import SetupError, unknown
from jaxgan.gans.began import began
from jaxgan.gans.unconditional import Penalty, unconditional
from jaxgan.models import dcgan, mlp, resnet
from jaxgan.state import GANState
from jaxgan.steps import GAN

REQUIRED = (
    "num_steps",
    "batch_size",
    "seed",
    "n_critic",
    "loss",
    "dtype",
    "log_every",
    "sample_every",
    "checkpoint_every",
    "ema_decay",
    "data.name",
    "data.path",
    "latent.prior",
    "latent.dim",
    "models.generator.family",
    "models.critic.family",
    "optimizers.generator.name",
    "optimizers.critic.name",
)
POSITIVE = (
    "num_steps",
    "batch_size",
    "n_critic",
    "log_every",
    "sample_every",
    "checkpoint_every",
    "latent.dim",
)


# What models compute in; parameters, moments, losses and samples are float32 in either.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class Family(NamedTuple):
    """A family of models: its two modules, and the critic of an objective that wants an auto-encoder."""

    generator: type[nn.Module]
    critic: type[nn.Module]
    autoencoder: type[nn.Module] | None = None


FAMILIES = {
    "dcgan": Family(dcgan.Generator, dcgan.Critic, dcgan.AutoEncoder),
    "mlp": Family(mlp.Generator, mlp.Critic, mlp.AutoEncoder),
    "resnet": Family(resnet.Generator, resnet.Critic),
}
OPTIONAL = ("penalties", "remedies", "began", "score")  # sections that a config may lack
BEGAN = "began"  # a loss by name, though it is no pair of functions of logits


def check(config: ConfigDict) -> None:
    """Refuses a config that cannot be trained, without opening its data.

    Raises:
      SetupError: a field is missing, or its value is out of range or unknown.
    """
    fields = flatten(config)
    for name in REQUIRED:
        if name not in fields:
            raise SetupError(f"the config has no field {name}: every config gives one")
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SetupError(f"config field {name} is {value}: give a finite number")
    for name in POSITIVE:
        if not is_whole(fields[name]) or fields[name] < 1:
            raise SetupError(f"config field {name} is {fields[name]!r}: give a whole number of at least 1")
    if not is_whole(config.seed) or not 0 <= config.seed < 2**32:
        raise SetupError(f"config field seed is {config.seed!r}: give a whole number from 0 to 2**32 - 1")
    if not is_whole(data_seed(config)) or not 0 <= data_seed(config) < 2**32:
        raise SetupError(
            f"config field data.seed is {data_seed(config)!r}: give a whole number from 0 to 2**32 - 1"
        )
    if not is_number(config.ema_decay) or not 0 <= config.ema_decay < 1:
        raise SetupError(f"config field ema_decay is {config.ema_decay!r}: give a number from 0 to below 1")
    if config.loss not in (*losses.PAIRS, BEGAN):
        raise unknown("loss", config.loss, (*losses.PAIRS, BEGAN))
    if config.dtype not in DTYPES:
        raise unknown("dtype", config.dtype, DTYPES)
    data.check_name(config.data.name)
    sample_shape(config)
    if config.latent.prior not in latents.PRIORS:
        raise unknown("latent.prior", config.latent.prior, latents.PRIORS)
    for name, values in sections(config, "penalties").items():
        _check_penalty(name, values)
        if values.weight and config.loss == BEGAN:
            raise SetupError(
                f"config field penalties.{name} is for a critic of logits, loss began has none: give 0"
            )
    for player in ("generator", "critic"):
        clip, rate = (fields.get(f"optimizers.{player}.{name}", 1) for name in ("clip", "learning_rate"))
        if clip is not None and not (is_number(clip) and clip > 0):
            raise SetupError(
                f"config field optimizers.{player}.clip is {clip!r}: give a positive number, such as 0.01"
            )
        if not is_number(rate):
            raise SetupError(f"config field optimizers.{player}.learning_rate is {rate!r}: give a number")
    if config.loss == BEGAN:
        for name in ("gamma", "lambda_k"):
            if f"began.{name}" not in fields:
                raise SetupError(f"the config has no field began.{name}: loss began needs one")
            value = fields[f"began.{name}"]
            if not is_number(value) or not 0 <= value <= 1:
                raise SetupError(f"config field began.{name} is {value!r}: give a number from 0 to 1")
    remedies.check(config)


def _check_penalty(name: str, values: ConfigDict) -> None:
    if name not in penalties.PENALTIES:
        raise unknown("penalty", name, penalties.PENALTIES)
    # The table's entries take any option, those they call do not: "r1" stands for r1_penalty.
    function = getattr(penalties, f"{name.removesuffix('_penalty')}_penalty")
    defaults = {
        option: parameter.default
        for option, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    if "weight" not in values:
        raise SetupError(f"the config has no field penalties.{name}.weight: give 0 or more")
    for field, value in values.items():
        if field == "weight":
            if not is_number(value) or value < 0:
                raise SetupError(f"config field penalties.{name}.weight is {value!r}: give 0 or more")
        elif field not in defaults:
            raise unknown(f"penalties.{name} field", field, ["weight", *defaults])
        elif isinstance(defaults[field], bool) != isinstance(value, bool) or not (
            isinstance(value, bool) or is_number(value)
        ):
            wanted = "True or False" if isinstance(defaults[field], bool) else "a number"
            raise SetupError(f"config field penalties.{name}.{field} is {value!r}: give {wanted}")


def data_seed(config: ConfigDict) -> int:
    """The seed of the batches: ``data.seed`` where a config gives one, so that runs can share theirs."""
    return config.data.get("seed", config.seed)


def sample_shape(config: ConfigDict) -> tuple[int, ...]:
    """The shape of one sample: (dim,) for the points of a problem, (size, size, channels) for images.

    Raises:
      SetupError: the problem does not have the options given, or the images are given no size.
    """
    if config.data.name in data.PROBLEMS:
        return (data.make_problem(**config.data).dim,)
    for name in ("size", "channels"):
        if name not in config.data:
            raise SetupError(f"the config has no field data.{name}: {config.data.name} has images")
    return (config.data.size, config.data.size, config.data.channels)


def _module(cls: type[nn.Module], role: str, options: Mapping[str, Any], **given: Any) -> nn.Module:
    fields = [f.name for f in dataclasses.fields(cls)]
    names = [name for name in fields if name not in ("parent", "name", *given)]
    options = {name: value for name, value in options.items() if name != "family"}
    for name in options:
        if name not in names:
            raise unknown(f"models.{role} field", name, ["family", *names])
    return cls(**options, **{name: value for name, value in given.items() if name in fields})


def _models(config: ConfigDict, shape: tuple[int, ...]) -> tuple[nn.Module, nn.Module]:
    families = {}
    for role in ("generator", "critic"):
        family = config.models[role].family
        if family not in FAMILIES:
            raise unknown(f"models.{role}.family", family, FAMILIES)
        if family != "mlp" and len(shape) != 3:
            raise SetupError(
                f"models.{role}.family {family} makes images, data.name {config.data.name} has points"
            )
        families[role] = FAMILIES[family]
    dtype = DTYPES[config.dtype]
    image = {"size": shape[0], "channels": shape[-1]} if len(shape) == 3 else {}
    generator = _module(
        families["generator"].generator,
        "generator",
        config.models.generator,
        shape=shape,
        dtype=dtype,
        **image,
    )
    critic_class = families["critic"].autoencoder if config.loss == BEGAN else families["critic"].critic
    if critic_class is None:
        raise SetupError(
            f"models.critic.family {config.models.critic.family} has no auto-encoder, and loss began needs"
            " one: give dcgan or mlp"
        )
    critic = _module(critic_class, "critic", config.models.critic, dtype=dtype)
    return generator, critic


def _weighted(penalty: Callable[..., jax.Array], weight: Any, hyper: Mapping[str, Any]) -> Penalty:
    return lambda critic_fn, real, fake, key: weight * penalty(critic_fn, real, fake, key, **hyper)


def _optimizer(config: ConfigDict, role: str) -> Any:
    try:
        return optimizers.build(**config.optimizers[role])
    except SetupError as error:
        raise SetupError(f"config.optimizers.{role}: {error}") from error


def build(config: ConfigDict, *, truncation: float | None = None) -> GAN:
    """The system a config describes.

    Args:
      config: checked by :func:`check`.
      truncation: bound on every coordinate of the latents, for sampling; None for no bound.

    Returns:
      The system.

    Raises:
      SetupError: the config names something that does not exist or cannot be combined.
    """
    shape = sample_shape(config)
    generator, critic = _models(config, shape)
    common = {
        "generator_tx": _optimizer(config, "generator"),
        "critic_tx": _optimizer(config, "critic"),
        "prior": functools.partial(
            latents.PRIORS[config.latent.prior], dim=config.latent.dim, truncation=truncation
        ),
    }
    if config.loss == BEGAN:
        gan = began(generator, critic, gamma=config.began.gamma, lambda_k=config.began.lambda_k, **common)
    else:
        weighted = {}
        for name, values in config.get("penalties", {}).items():
            hyper = {key: value for key, value in values.items() if key != "weight"}
            # A traced weight is one of a population's, and on.
            if isinstance(values.weight, jax.Array) or values.weight:
                weighted[name] = _weighted(penalties.PENALTIES[name], values.weight, hyper)
        pair = remedies.on_pair(config, losses.get(config.loss))
        gan = unconditional(generator, critic, loss=pair, penalties=weighted, **common)
    gan = remedies.on_game(config, gan)
    # Shapes only: what cannot be built or combined is refused here, before any data is opened.
    jax.eval_shape(initializer(config, gan))
    return gan


def initializer(config: ConfigDict, gan: GAN) -> Callable[[], GANState]:
    """The function of nothing that makes a run's first state."""
    batch = {"real": jnp.zeros((1, 1, *sample_shape(config))), "row": jnp.zeros((1, 1), int)}
    return functools.partial(gan.init, jax.random.key(config.seed), batch)
