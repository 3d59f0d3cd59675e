"""Compiles the train step of a config ahead of time for a TPU topology."""

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
    """The train step of a config on a topology.

    Attributes:
      config: Config of the run.
      gan: System that the config describes.
      source: Data of the run, or a stand-in with the same shapes and types.
      topology: Topology to compile the step for.
    """

    config: ConfigDict
    gan: GAN
    source: data.Source
    topology: tpu.Topology


def stand_in(config: ConfigDict) -> data.Source:
    """Returns the data source of a config without opening its dataset.

    Images are replaced by a single black image. Points are returned as they are.
    """
    spec = derived.spec_of(config)
    if not spec.images:
        return data.open_source(**config.data)  # Points are drawn by functions, so no file is opened.
    return data.stand_in(spec)


def compile_step(task: Task, batch_size: int) -> tpu.Compiled:
    """Compiles the same step that a run executes.

    Args:
      task: Step, and the topology to compile it for.
      batch_size: Global batch size.

    Returns:
      The compiled program with its costs.

    Raises:
      TooLargeError: The program does not fit into the memory of a chip.
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
    """Returns the largest batch that fits, to five binary digits.

    Each attempt is a compilation, so the search makes few of them.

    Args:
      attempt: Function from a batch size to the number of bytes it needs, or None if it does not fit.
      capacity: Available bytes, from which the next attempt is guessed. Only ``attempt`` decides whether a
        batch fits.

    Returns:
      The batch size.

    Raises:
      SetupError: Not even a batch of 1 fits.
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
        if len(fits) > 1:  # Memory is close to a linear function of the batch size.
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
    """Returns the global batch size of a config on a number of devices.

    If the devices outnumber the samples and the command line does not set the batch size, every device gets
    the batch size of the config.

    Args:
      config: Config of the run.
      argv: Arguments of the command line.
      devices: Number of devices.

    Raises:
      SetupError: The batch cannot be divided among the devices.
    """
    given = any(argument.lstrip("-").startswith("config.batch_size") for argument in argv)
    if config.batch_size < devices and not given:
        return config.batch_size * devices
    parallel.check_batch_size(config.batch_size, devices)
    return config.batch_size
