"""Compiles a config's train step ahead of time for a TPU topology."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from experiments.dry_run import tpu
from experiments.training import build, derived, run_program
from jaxgan import data, parallel
from jaxgan.errors import SetupError
from jaxgan.steps import GAN

PyTree = Any


class Task(NamedTuple):
    """A config's train step on a topology.

    Attributes:
      config: the run's.
      gan: its system.
      source: its data, or a stand-in with the same shapes and types.
      topology: where it would run.
    """

    config: ConfigDict
    gan: GAN
    source: data.Source
    topology: tpu.Topology


def stand_in(config: ConfigDict) -> data.Source:
    """The source of a config without its dataset: one black picture stands for them all."""
    spec = derived.spec_of(config)
    if not spec.images:
        return data.open_source(**config.data)  # points are functions, there is nothing to open
    return data.stand_in(spec)


def compile_step(task: Task, batch_size: int) -> tpu.Compiled:
    """Compiles the very step that a run takes.

    Args:
      task: the step and where it would run.
      batch_size: global.

    Returns:
      What the compiled program says of itself.

    Raises:
      TooLargeError: it does not fit into a chip's memory.
    """
    config, gan, source, topology = task
    state = jax.eval_shape(build.initializer(config, gan))
    slices = max(config.n_critic, 1)
    raw = source.batches(seed=derived.data_seed(config), n_critic=slices, batch_size=1)[0]
    batch = {
        name: jax.ShapeDtypeStruct((slices, batch_size, *x.shape[2:]), x.dtype) for name, x in raw.items()
    }
    return tpu.compile_ahead(
        run_program.make_step(gan, source, config, topology.mesh),
        tpu.placed(state, topology),
        tpu.placed(batch, topology, None, parallel.AXIS),
    )


def _granule(batch: int) -> int:
    return 1 << max(0, batch.bit_length() - 5)


def largest_batch(attempt: Callable[[int], int | None], capacity: int) -> int:
    """The largest batch that fits, to five binary digits, by few attempts: each one is a compilation.

    Args:
      attempt: a batch to the bytes it needs, None if it does not fit.
      capacity: bytes there are, to guess by; what fits is for ``attempt`` to say.

    Returns:
      The batch.

    Raises:
      SetupError: not even a batch of 1 fits.
    """
    fits: dict[int, int] = {}
    too_large, batch = 0, 32
    while True:
        needed = attempt(batch)
        if needed is None:
            too_large = batch
        else:
            fits[batch] = needed
        best = max(fits, default=0)
        if too_large and best + _granule(best) >= too_large:
            break
        guess = 2 * best or batch // 4
        if len(fits) > 1:  # memory is close to a linear function of the batch
            low, high = sorted(fits)[-2:]
            slope = max(1.0, (fits[high] - fits[low]) / (high - low))
            guess = int(high + (capacity - fits[high]) / slope)
        if too_large and guess >= too_large:
            guess = (best + too_large) // 2
        guess = guess // _granule(guess) * _granule(guess)
        batch = max(guess, best + _granule(best))
    if not best:
        raise SetupError("not even a batch of 1 fits into a chip's memory: make the models smaller")
    return best


def batch_size_of(config: ConfigDict, argv: list[str], devices: int) -> int:
    """The global batch: the config's, or that many for each device if they outnumber the samples."""
    given = any(argument.lstrip("-").startswith("config.batch_size") for argument in argv)
    if config.batch_size < devices and not given:
        return config.batch_size * devices
    parallel.check_batch_size(config.batch_size, devices)
    return config.batch_size
