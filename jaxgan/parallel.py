"""One step on many devices: jit over a mesh of them, or pmap with an axis name.

The batch is global and only its batch axis is split; the state stands on every device. Under ``jit`` the
compiler inserts the collectives, so batch statistics and losses are those of the global batch with no
word about devices in the step. Samples draw their randomness by their place in the global batch
(``batch["row"]``), so the number of devices changes nothing but time.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgan.errors import SetupError

PyTree = Any
AXIS = "batch"
EVERYWHERE, MEMBERS = PartitionSpec(), PartitionSpec(AXIS)

# Which operations XLA's CPU backend gives to YNNPACK. By default matrix products are among them, and run on
# one thread each; without them they run on all: right for one run, not for a population whose members are
# shared by a device a core. (The option is a list; it has to name something.)
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}


def device_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh named ``"batch"`` over the devices, all of them by default."""
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def check_batch_size(batch_size: int, num_devices: int) -> None:
    """Refuses a global batch that devices cannot share evenly.

    Raises:
      SetupError: it names the nearest sizes that would do.
    """
    if batch_size < 1 or batch_size % num_devices:
        below = batch_size // num_devices * num_devices
        nearest = f"{below} or {below + num_devices}" if below > 0 else f"{num_devices}"
        raise SetupError(
            f"batch_size {batch_size} cannot be shared evenly by {num_devices} devices: try {nearest}"
        )


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a copy of every leaf on every device."""
    return jax.device_put(tree, NamedSharding(mesh, EVERYWHERE))


def split_members(population: PyTree, mesh: Mesh) -> PyTree:
    """Gives each device its share of a population: of every leaf's first axis.

    Raises:
      ValueError: the devices cannot share the members evenly.
    """
    return jax.device_put(population, NamedSharding(mesh, MEMBERS))


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh, *, axis: int = 1) -> dict[str, jax.Array]:
    """Splits a batch over the devices.

    Args:
      batch: this process's rows of the global batch (all of them if there is one process).
      mesh: from :func:`device_mesh`.
      axis: the batch axis: 1 behind the critic's axis in training, 0 for sampling.

    Returns:
      Global arrays.
    """
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))
    if jax.process_count() == 1:  # the same in half the time
        return jax.device_put(dict(batch), sharding)
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def jit_step(step: Callable[..., PyTree], mesh: Mesh) -> Callable[..., PyTree]:
    """Compiles ``step(state, batch) -> (state, metrics)``; the state is donated.

    Args:
      step: one train step.
      mesh: the devices; the state and the metrics lie on each, while the batch is split.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.jit(
        step,
        donate_argnums=0,
        out_shardings=NamedSharding(mesh, EVERYWHERE),
        compiler_options=CPU_OPTIONS if on_cpu else None,
    )


def jit_members(step: Callable[..., PyTree], mesh: Mesh, *, in_turn: bool = False) -> Callable[..., PyTree]:
    """Compiles ``step(member, batch) -> (member, metrics)`` for a population; it is donated.

    Args:
      step: one member's step.
      mesh: the devices; each trains its share of the members on all of the batch, and none waits for
        another.
      in_turn: whether a device trains its members one after another instead of all at once.
    """

    def share(population: PyTree, batch: PyTree) -> PyTree:
        if in_turn:
            return jax.lax.map(lambda member: step(member, batch), population)
        return jax.vmap(step, (0, None))(population, batch)

    # What all members have in common is on every device as it is; that it stays so needs no proof.
    mapped = jax.shard_map(
        share, mesh=mesh, in_specs=(MEMBERS, EVERYWHERE), out_specs=MEMBERS, check_vma=False
    )
    return jax.jit(mapped, donate_argnums=0)


def pmap_step(step: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """The same step under ``jax.pmap``, bound to the axis name ``AXIS``.

    Args:
      step: ``step(state, batch, axis_name=...)``, its models and losses built with that axis name too.

    Returns:
      A function of a state and a batch with a leading device axis each, see :func:`split_for_pmap`.
    """
    return jax.pmap(functools.partial(step, axis_name=AXIS), axis_name=AXIS, donate_argnums=0)


def split_for_pmap(batch: Mapping[str, np.ndarray], num_devices: int) -> dict[str, np.ndarray]:
    """(n_critic, B, ...) arrays to (devices, n_critic, B / devices, ...)."""

    def split(x: np.ndarray) -> np.ndarray:
        n, batch_size, *rest = x.shape
        return np.swapaxes(np.reshape(x, (n, num_devices, batch_size // num_devices, *rest)), 0, 1)

    return {name: split(np.asarray(x)) for name, x in batch.items()}
